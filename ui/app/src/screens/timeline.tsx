// SPDX-License-Identifier: Apache-2.0

import { useComputed } from "@preact/signals";
import { useRef } from "preact/hooks";
import { store } from "../api/lanes";
import { unwatched, useResource } from "../api/resource";
import type { Cell, Lane, ObjectReference, Timeline, TimelineEvent } from "../api/types";
import { pageOf, pageOfCell, timelineOf } from "../links";
import { Moment } from "../parts/age";
import { Commands, Copy, commandLine, scopeFlags } from "../parts/command";
import { Loaded, ObjectLink, Panel } from "../parts/detail";
import { Mark } from "../parts/mark";
import { spoken } from "../parts/lane";
import { useTitle } from "../parts/title";
import { route, setQuery } from "../router";
import { columnWords, count, duration, newestFirst, stateWords } from "../words";

/** Everything that happened to an application, or the applications to choose from. */
export function TimelineScreen({ lane: key }: { lane: string }) {
  return key ? <OneTimeline lane={key} /> : <Choice />;
}

function Choice() {
  useTitle("Timeline");
  const query = useComputed(() => route.value.query.get("q") ?? "");
  const lanes = useComputed(() => store.all().filter((lane) => `${lane.namespace}/${lane.name}`.toLowerCase().includes(query.value.toLowerCase())));
  return (
    <div class="detail">
      <h1>Timeline</h1>
      <p class="lead">Choose an application to see everything that happened to it, from the registry to its users.</p>
      <div class="filters">
        <input type="search" aria-label="Search applications" placeholder="Search" value={query.value} onInput={(event) => setQuery({ q: event.currentTarget.value })} />
      </div>
      {lanes.value.length === 0 && <Nobody />}
      <ul class="lines" aria-label="Applications" hidden={lanes.value.length === 0}>
        {lanes.value.slice(0, 200).map((lane) => (
          <li key={lane.key}>
            <a href={timelineOf(lane)}>
              <Mark state={lane.state} silent />
              <span class="name">
                <strong>{lane.name}</strong> <small>{lane.namespace}</small>
              </span>
              <span class="message">{stateWords[lane.state]}</span>
            </a>
          </li>
        ))}
      </ul>
      {lanes.value.length > 200 && <p class="dim">{count(lanes.value.length - 200, "other application")}: search for one.</p>}
      <Commands lines={[commandLine("sluice", "events", ...scopeFlags())]} />
    </div>
  );
}

/** Why there is nothing to choose from. */
function Nobody() {
  if (!store.loaded.value) {
    return (
      <p class="empty dim" role="status">
        Waiting for the first look at the cluster…
      </p>
    );
  }
  if (store.keys.value.length > 0) return <p class="empty dim">No application has this in its name.</p>;
  return (
    <p class="empty dim">
      No application that you may see is there yet. <a href="/">What one is made of</a>
    </p>
  );
}

/** The events that are shown, the newest first: of chosen kinds and types, with all words. */
export function filter(events: readonly TimelineEvent[], by: { kind: string; warnings: boolean; text: string }): TimelineEvent[] {
  const words = by.text.toLowerCase().split(/\s+/).filter(Boolean);
  return newestFirst(events)
    .filter((event) => (!by.kind || event.kind === by.kind) && (!by.warnings || event.type === "Warning"))
    .filter((event) => words.every((word) => `${event.reason} ${event.message} ${event.kind} ${event.name}`.toLowerCase().includes(word)));
}

/**
 * Events, which come with the newest first, as Markdown for a report: the oldest first, in UTC. Whoever may write events
 * may not write into the report: neither images, links nor mentions.
 */
export function markdown(title: string, events: readonly TimelineEvent[]): string {
  const cell = (text: string) =>
    text
      .replace(/[\\|[\]!*_~`#]/g, "\\$&")
      .replaceAll("&", "&amp;")
      .replaceAll("<", "&lt;")
      .replace(/(?<!\w)@|#(?=\d)/g, "$&\u200b") // entities are mentions and numbers of issues all the same
      .replaceAll("://", "&#58;//")
      .replace(/\bwww\./gi, (www) => `${www.slice(0, 3)}&#46;`)
      .replace(/\s+/g, " ")
      .trim();
  const rows = events
    .toReversed()
    .sort((a, b) => Date.parse(a.time) - Date.parse(b.time))
    .map((event) => {
      const at = new Date(event.time).toISOString().replace("T", " ").replace(/\.\d+Z/, "");
      const times = event.count > 1 ? ` (×${event.count})` : "";
      return `| ${at} | ${cell(`${event.kind} ${event.namespace}/${event.name}`)} | ${cell(event.type)} | ${cell(event.reason)} | ${cell(event.message)}${times} |`;
    });
  return `# ${cell(title)}\n\n| Time (UTC) | Object | Type | Reason | Message |\n|---|---|---|---|---|\n${rows.join("\n")}\n`;
}

function OneTimeline({ lane: key }: { lane: string }) {
  const lane = store.changes.value >= 0 ? store.lanes.get(key)?.value : undefined;
  const [, namespace = "", name = key] = key.split("/");
  useTitle(`Timeline of ${name}`);
  const objects = objectsOf(lane);
  const waitAfter = useWait();
  const found = useResource<Timeline>(`/api/v1/timeline?key=${encodeURIComponent(key)}`, (changed) => objects.has(id(changed)), (data) => (lane && isLiveUnsettled(lane) ? waitAfter(data) : undefined));
  const by = useComputed(() => {
    const { query } = route.value;
    return { kind: query.get("kind") ?? "", warnings: query.get("warnings") === "1", text: query.get("q") ?? "" };
  });
  return (
    <div class="detail">
      <div class="heading">
        <div>
          <p class="dim kind">Timeline · {namespace}</p>
          <div class="named">
            <h1>{name}</h1>
            {lane && (
              <p class={`state is-${lane.state}`}>
                <Mark state={lane.state} silent /> {stateWords[lane.state]}
              </p>
            )}
          </div>
        </div>
      </div>
      {lane && <Way lane={lane} />}
      {lane && <LeadTime lane={lane} />}
      <Loaded of={found.value} what={`the timeline of ${namespace}/${name}`}>
        {(data) => {
          const kinds = [...new Set(data.items.map((event) => event.kind))];
          const kind = kinds.includes(by.value.kind) ? by.value.kind : ""; // of one that no event has, the selection would be empty
          const shown = filter(data.items, { ...by.value, kind });
          const text = markdown(`${name} in ${namespace}`, shown);
          return (
            <Panel title="What happened" aside={count(shown.length, "event")}>
              <div class="filters">
                <label>
                  <span class="off-screen">Kind</span>
                  <select value={kind} onChange={(event) => setQuery({ kind: event.currentTarget.value })}>
                    <option value="">all kinds</option>
                    {kinds.map((kind) => (
                      <option key={kind}>{kind}</option>
                    ))}
                  </select>
                </label>
                <label class="check">
                  <input type="checkbox" checked={by.value.warnings} onChange={(event) => setQuery({ warnings: event.currentTarget.checked ? "1" : "" })} /> warnings only
                </label>
                <input type="search" aria-label="Search events" placeholder="Search" value={by.value.text} onInput={(event) => setQuery({ q: event.currentTarget.value })} />
                <Copy text={text} label="copy as Markdown" what="the events" />
                <button type="button" class="action" onClick={() => save(`${namespace}-${name}.md`, text)}>
                  Save as Markdown
                </button>
              </div>
              {data.eventsProblem && <p class="bad">Not all events are known: {data.eventsProblem}</p>}
              {shown.length === 0 ? data.eventsProblem && data.items.length === 0 ? null : <p class="dim">{data.items.length === 0 ? "The cluster keeps no event of its objects; it forgets them after an hour." : "No event is like that."}</p> : <Story of={shown} />}
            </Panel>
          );
        }}
      </Loaded>
      {found.value.data && <Commands lines={eventCommands(lane, namespace)} />}
    </div>
  );
}

/** Tells whether pods of a lane may have events while no object of the lane changes: what users have, or get, is not ready. A canary that waits, or was rolled back, does not change until somebody decides or there is another version. */
function isLiveUnsettled(lane: Lane): boolean {
  return lane.cells.some((cell) => (cell.column === "live" && cell.state === "failed") || ((cell.column === "live" || cell.column === "canary") && cell.state === "moving"));
}

/** How long a timeline that says the same as before is left alone at most, in milliseconds. */
const longestWait = 60_000;

/** How long a timeline is left alone after an answer: twice as long each time that it says the same. */
function useWait(): (data: Timeline) => number {
  const last = useRef({ said: "", wait: unwatched });
  return (data) => {
    const said = JSON.stringify(data);
    last.current = { said, wait: said === last.current.said ? Math.min(2 * last.current.wait, longestWait) : unwatched };
    return last.current.wait;
  };
}

/** The objects whose events are in the timeline of a lane, as the server has it, by their ids. */
function objectsOf(lane: Lane | undefined): Map<string, ObjectReference> {
  const steps = (lane?.cells ?? []).flatMap((cell) => cell.object ?? []);
  const pipelines = (lane?.stages ?? []).map((stage) => ({ kind: "Pipeline", namespace: stage.namespace, name: stage.pipeline }));
  return new Map([...steps, ...(lane?.target ? [lane.target] : []), ...pipelines].map((object) => [id(object), object]));
}

/** The commands that show the same events: one for each object of the lane. */
export function eventCommands(lane: Lane | undefined, namespace: string): string[] {
  const objects = [...objectsOf(lane).values()];
  if (objects.length === 0) return [commandLine("sluice", "events", "-n", namespace)];
  return objects.map((object) => commandLine("sluice", "events", "--for", `${object.kind}/${object.name}`, "-n", object.namespace));
}

const id = (object: { kind: string; namespace: string; name: string }) => `${object.kind}/${object.namespace}/${object.name}`;

function save(name: string, text: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/markdown" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function Story({ of }: { of: readonly TimelineEvent[] }) {
  return (
    <ol class="story">
      {of.map((event, i) => (
        <li key={i} class={event.type === "Warning" ? "warning" : ""}>
          <Moment at={event.time} />
          <span class="dot" aria-hidden="true" />
          <div>
            <p class="dim">
              <ObjectLink to={event} /> · {event.type === "Warning" && <b class="bad">Warning </b>}
              {event.reason}
              {event.count > 1 && ` ×${event.count}`}
            </p>
            <p>{event.message}</p>
          </div>
        </li>
      ))}
    </ol>
  );
}

/** Tells whether a source or what was applied is at another revision than the commit of the lane, or without one than the step before it: somebody else pushed since, and its time is that of their push. */
function isOfAnotherCommit(cell: Cell, before: readonly Cell[]): boolean {
  if (cell.full === undefined || (cell.column !== "source" && cell.column !== "apply")) return false;
  const commit = before.find((one) => one.column === "commit");
  if (commit && cell.full.includes("@sha1:")) return !commit.full || !cell.full.includes(commit.full);
  const source = before.find((one) => one.column === "source");
  return source !== undefined && source.full !== cell.full;
}

/** The way from a step to the next one. Without seconds nobody knows how long that took. */
export interface Hop {
  name: string;
  seconds?: number;
}

/** How long the version took from one step that is done to the next. What is behind a step that it has not passed is still about another version, and so is a step that has come to a later commit. */
export function hopsOf(lane: Lane): Hop[] {
  const there = lane.cells.filter((cell) => cell.state !== "none");
  const until = there.findIndex((cell, i) => cell.state !== "ready" || isOfAnotherCommit(cell, there.slice(0, i)));
  const steps = there.slice(0, until < 0 ? undefined : until);
  return steps.slice(1).flatMap((cell, i) => {
    const before = steps[i];
    return before ? [{ name: `${columnWords[before.column]} to ${columnWords[cell.column]}`, ...took(before, cell) }] : [];
  });
}

/**
 * How long a step took after the one before it. Times are whole seconds, some of them rounded up. Pods are live before their
 * Canary has done all of its work; of other steps a time that is earlier is that of another version.
 */
function took(before: Cell, cell: Cell): Pick<Hop, "seconds"> {
  const seconds = (Date.parse(cell.since ?? "") - Date.parse(before.since ?? "")) / 1000;
  if (Number.isNaN(seconds)) return {};
  return seconds >= -1 || before.column === "canary" ? { seconds: Math.max(0, seconds) } : {};
}

function LeadTime({ lane }: { lane: Lane }) {
  const hops = hopsOf(lane);
  const known = hops.flatMap((hop) => hop.seconds ?? []);
  const longest = Math.max(1, ...known);
  if (known.length === 0) return null;
  const sum = duration(known.reduce((sum, seconds) => sum + seconds, 0));
  return (
    <Panel title="Lead time" aside={known.length === hops.length ? `${sum} in all` : `${sum} are known`}>
      <ol class="funnel" aria-label="How long each step took">
        {hops.map(({ name, seconds }) => (
          <li key={name}>
            <span>{name}</span>
            <svg width="100%" height="10" aria-hidden="true">
              <rect width="100%" height="10" rx="2" class="bar-track" />
              {seconds !== undefined && <rect width={`${Math.max(0.5, (100 * seconds) / longest)}%`} height="10" rx="2" class="bar-done" />}
            </svg>
            {seconds === undefined ? <span class="number dim">not known</span> : <time class="number" dateTime={`PT${seconds}S`}>{duration(seconds)}</time>}
          </li>
        ))}
      </ol>
    </Panel>
  );
}

/** The lane in a line, each step a link. */
function Way({ lane }: { lane: Lane }) {
  const about = spoken(lane);
  return (
    <>
      <ul class="way" aria-label="Steps">
        {lane.cells
          .filter((cell) => cell.state !== "none")
          .map((cell) => (
            <li key={cell.column}>
              <Mark state={cell.state} />
              <a href={pageOfCell(lane, cell) ?? "#"}>{columnWords[cell.column]}</a> <span class="dim">{cell.value}</span>
            </li>
          ))}
        {lane.stages.map((stage) => (
          <li key={`${stage.pipeline}/${stage.name}`}>
            <Mark state={stage.state} />
            <a href={pageOf({ kind: "Pipeline", namespace: stage.namespace, name: stage.pipeline })}>{stage.name}</a> <span class="dim">{stage.has}</span>
          </li>
        ))}
      </ul>
      {about?.message && <p class={`notice is-${about.state}`}>{about.message}</p>}
    </>
  );
}
