// SPDX-License-Identifier: Apache-2.0

import { useSignal, type Signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { get, mayPass } from "./client";
import { onObject } from "./stream";
import type { ObjectReference } from "./types";

/** How long changes are collected before something is read again, in milliseconds. */
const quiet = 150;

/** How long after an answer that did not come it is read again, in milliseconds: twice as long each time. */
const shortestWait = 1_000;
const longestWait = 30_000;

/** What was read last, and what went wrong since. */
export interface Resource<T> {
  data?: T;
  error?: string;
}

/** How long something is left alone that changes without a word, in milliseconds: nobody watches pods and their events. */
export const unwatched = 10_000;

/**
 * Reads an address, and reads it again when one of the objects that it is about changes, if there was no answer, or after so many
 * milliseconds as an answer has it: "soon", ever less often, where it is not the last one, and undefined where all changes are told of.
 */
export function useResource<T>(address: string, about: (changed: ObjectReference) => boolean, next: (data: T) => "soon" | number | undefined = () => undefined): Signal<Resource<T>> {
  const found = useSignal<Resource<T>>({});
  const latest = useRef({ about, next }); // what it is about may be known only later, and change
  latest.current = { about, next };
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let soon = false; // it is read again as soon as changes are collected
    let due = false; // it was to be read while nobody looked
    let running: AbortController | undefined;
    let outdated = false; // something changed while it was read
    let ended = false;
    let wait = shortestWait;
    const after = (milliseconds: number) => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        if (!document.hidden) return void read();
        soon = false; // a page that nobody looks at reads nothing
        due = true;
      }, milliseconds);
    };
    const again = () => {
      after(wait);
      wait = Math.min(2 * wait, longestWait);
    };
    const collect = () => {
      if (soon) return;
      soon = true;
      after(quiet);
    };
    // A read comes to its end however often something changes meanwhile: what changes all the time is shown all the same.
    const read = async () => {
      soon = due = outdated = false;
      const mine = (running = new AbortController());
      try {
        const data = await get<T>(address, mine.signal);
        if (mine.signal.aborted) return;
        found.value = { data };
        const when = latest.current.next(data);
        if (when === "soon") again();
        else wait = shortestWait;
        if (typeof when === "number") after(when);
      } catch (err) {
        if (mine.signal.aborted) return;
        const { data } = found.peek();
        found.value = { ...(data !== undefined && { data }), error: err instanceof Error ? err.message : String(err) };
        if (mayPass(err)) again();
      } finally {
        running = undefined;
        if (outdated && !ended) collect();
      }
    };
    const stop = onObject((changed) => {
      if (changed && !latest.current.about(changed)) return;
      if (!running) return collect();
      outdated = true;
      if (!changed) running.abort(); // of a connection that was lost an answer may never come
    });
    const looked = () => {
      if (due && !document.hidden) collect();
    };
    document.addEventListener("visibilitychange", looked);
    if (found.peek().data !== undefined || found.peek().error !== undefined) found.value = {};
    void read();
    return () => {
      stop();
      document.removeEventListener("visibilitychange", looked);
      clearTimeout(timer);
      ended = true;
      running?.abort();
    };
  }, [address]);
  return found;
}

/** Tells whether an object is the one of a kind, namespace and name. */
export function isObject(kind: string, namespace: string, name: string): (changed: ObjectReference) => boolean {
  return (changed) => changed.kind === kind && changed.namespace === namespace && changed.name === name;
}
