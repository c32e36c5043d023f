// SPDX-License-Identifier: Apache-2.0

// One connection for all that changes. A browser opens a lost one again by itself, unless the server
// answers with an error; then this does, ever less often.

import { signal } from "@preact/signals";
import { store } from "./lanes";
import { streamAddress } from "./token";
import type { Alive, LaneChange, ObjectReference } from "./types";

const shortestWait = 1_000;
const longestWait = 30_000;

/** Since when nothing is heard from the server, in milliseconds; undefined while it is. */
export const lostSince = signal<number | undefined>(undefined);

/** Since when the server shows what may be older than what the cluster has, and why. */
export const stale = signal<Alive>({});

type Listener = (changed: ObjectReference | undefined) => void;
const listeners = new Set<Listener>();

/** Calls back with every object that changed, and with undefined when all may have. Returns the end of it. */
export function onObject(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

const queue: LaneChange[] = [];
let scheduled = false;

/** Changes are drawn at most every so many times of what the last drawing took, so that a storm of them leaves the page time for people; and at least once in so many milliseconds. */
const pauseFactor = 4;
const longestPause = 1_000;
const frame = 1_000 / 60;
/** Before when changes wait for others. */
let notBefore = 0;

/** Puts a change into the next frame: a thousand of them are drawn once. A hidden page has no frames. */
function enqueue(change: LaneChange): void {
  if (change.reset) queue.length = 0;
  queue.push(change);
  if (!scheduled) schedule();
}

function schedule(): void {
  scheduled = true;
  const pause = notBefore - performance.now();
  if (document.hidden) setTimeout(draw, 250);
  else if (pause > 0) setTimeout(() => requestAnimationFrame(draw), pause);
  else requestAnimationFrame(draw);
}

/** Applies what waits. What the page makes of it is drawn before the next frame begins. */
function draw(): void {
  const began = performance.now();
  for (const next of queue.splice(0)) store.apply(next);
  const drawn = () => {
    const now = performance.now();
    notBefore = now + Math.min(longestPause, pauseFactor * Math.max(0, now - began - frame));
    scheduled = false;
    if (queue.length > 0) schedule();
  };
  if (document.hidden) setTimeout(drawn);
  else requestAnimationFrame(drawn);
}

/** How long a page that nobody looks at keeps its stream, in milliseconds. */
const hiddenTimeout = 5_000;

let current: EventSource | undefined;
let retry: ReturnType<typeof setTimeout> | undefined;
/** It was closed as nobody looked: what happened meanwhile is not known. */
let wasHidden = false;

/** Opens the stream while somebody looks. A browser has six connections to a server for all its tabs together, and for pages that one can go back to: one that nobody looks at gives its own away. */
export function follow(refused: () => void): void {
  let hiddenTimer: ReturnType<typeof setTimeout> | undefined;
  const disconnect = () => {
    clearTimeout(retry);
    clearTimeout(silence);
    current?.close();
    current = retry = undefined;
    wasHidden = true;
  };
  const reconnect = () => {
    clearTimeout(hiddenTimer);
    if (!current && retry === undefined) connect(refused);
  };
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) hiddenTimer = setTimeout(disconnect, hiddenTimeout);
    else reconnect();
  });
  window.addEventListener("pagehide", disconnect);
  window.addEventListener("pageshow", (event) => event.persisted && reconnect());
  if (!document.hidden) connect(refused);
}

/** How long a stream may say nothing, in milliseconds; the server says every 15 seconds that it is alive. Of a network that was left, no browser tells. */
const longestSilence = 40_000;
let silence: ReturnType<typeof setTimeout> | undefined;

/** Opens the stream, and keeps it open. Of an answer that is an error no more can be seen than that there was one. */
export function connect(refused: () => void = () => {}, wait = shortestWait): void {
  const source = new EventSource(streamAddress());
  current = source;
  retry = undefined;
  const heard = () => {
    clearTimeout(silence);
    if (current !== source) return;
    const at = Date.now();
    silence = setTimeout(() => {
      lostSince.value ??= at;
      source.close();
      connect(refused);
    }, longestSilence);
  };
  heard();
  for (const event of ["open", "alive", "lanes", "object"]) source.addEventListener(event, heard);
  source.addEventListener("alive", (event) => (stale.value = JSON.parse(event.data) as Alive));
  source.addEventListener("open", () => {
    wait = shortestWait;
    if (lostSince.value === undefined && !wasHidden) return;
    wasHidden = false;
    lostSince.value = undefined;
    for (const listener of listeners) listener(undefined);
  });
  source.addEventListener("lanes", (event) => enqueue(JSON.parse(event.data) as LaneChange));
  source.addEventListener("object", (event) => {
    const changed = JSON.parse(event.data) as ObjectReference;
    for (const listener of listeners) listener(changed);
  });
  source.addEventListener("error", () => {
    lostSince.value ??= Date.now();
    if (source.readyState !== EventSource.CLOSED) return;
    source.close();
    clearTimeout(silence);
    current = undefined;
    refused();
    retry = setTimeout(() => connect(refused, Math.min(wait * 2, longestWait)), wait);
  });
}
