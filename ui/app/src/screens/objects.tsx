// SPDX-License-Identifier: Apache-2.0

import { useComputed, useSignal } from "@preact/signals";
import { useResource } from "../api/resource";
import type { List } from "../api/client";
import { session } from "../api/session";
import type { CellState, ObjectLine } from "../api/types";
import { kindsOf } from "../kinds";
import { pageOf } from "../links";
import { Age } from "../parts/age";
import { Commands, commandLine, scopeFlags } from "../parts/command";
import { Loaded } from "../parts/detail";
import { Mark, stateOf } from "../parts/mark";
import { useTitle } from "../parts/title";
import { route, setQuery } from "../router";
import { count, short, stateWords } from "../words";

/** How many lines are drawn before one asks for more. */
const page = 200;

/** The objects of a kind. */
export function ObjectsScreen({ kind }: { kind: string }) {
  const shown = kind || "Kustomization";
  useTitle(shown);
  return (
    <div class="detail objects">
      <h1>Objects</h1>
      <nav class="kinds" aria-label="Kinds">
        {kindsOf(session.value).map((one) => {
          const why = session.value?.missing.find((m) => m.kind === one)?.why;
          return (
            <a key={one} href={`/objects?kind=${one}`} aria-current={one === shown ? "page" : undefined} class={why ? "dim" : ""} title={why}>
              {one}
            </a>
          );
        })}
      </nav>
      <Listed key={shown} kind={shown} />
    </div>
  );
}

/** The state of a line; kinds without conditions have none. */
export function stateOfLine(line: ObjectLine): CellState {
  return line.since || line.ready !== "Unknown" || line.suspended ? stateOf(line.ready, line.suspended) : "none";
}

/** Orders lines by what needs a person, then by name. */
export function compareLines(a: ObjectLine, b: ObjectLine): number {
  const rank = (line: ObjectLine) => ["failed", "moving", "unknown", "suspended", "ready", "none"].indexOf(stateOfLine(line));
  return rank(a) - rank(b) || a.namespace.localeCompare(b.namespace) || a.name.localeCompare(b.name);
}

function Listed({ kind }: { kind: string }) {
  const why = session.value?.missing.find((m) => m.kind === kind)?.why;
  const found = useResource<List<ObjectLine>>(`/api/v1/objects?kind=${encodeURIComponent(kind)}`, (changed) => changed.kind === kind);
  const query = useComputed(() => route.value.query.get("q") ?? "");
  const limit = useSignal(page);
  const lines = useComputed(() => {
    const words = query.value.toLowerCase().split(/\s+/).filter(Boolean);
    const all = (found.value.data?.items ?? []).toSorted(compareLines);
    return all.filter((line) => words.every((word) => `${line.namespace}/${line.name} ${line.message ?? ""} ${line.revision ?? ""}`.toLowerCase().includes(word)));
  });
  if (why) return <p class="notice is-waiting">{`${kind} cannot be shown: ${why}`}</p>;
  return (
    <Loaded of={found.value} what={kind}>
      {(data) => (
        <>
          {data.items.length === 0 ? (
            <p class="empty dim">The cluster has no {kind} that you may see.</p>
          ) : (
            <>
              <div class="filters">
                <span class="dim">{count(lines.value.length, "object")}</span>
                <input type="search" aria-label={`Search ${kind}`} placeholder="Search" value={query.value} onInput={(event) => setQuery({ q: event.currentTarget.value })} />
              </div>
              <ul class="lines" aria-label={kind}>
                {lines.value.slice(0, limit.value).map((line) => (
                  <Line key={`${line.namespace}/${line.name}`} line={line} />
                ))}
              </ul>
              {lines.value.length > limit.value && (
                <button type="button" class="action" onClick={() => (limit.value += 1000)}>
                  Show more of {count(lines.value.length - limit.value, "other object")}
                </button>
              )}
            </>
          )}
          <Commands lines={[commandLine("kubectl", "get", kind.toLowerCase(), ...scopeFlags())]} />
        </>
      )}
    </Loaded>
  );
}

function Line({ line }: { line: ObjectLine }) {
  const state = stateOfLine(line);
  return (
    <li class={`is-${state}`}>
      <a href={pageOf(line)}>
        <Mark state={state} silent />
        <span class="name">
          <strong>{line.name}</strong> <small>{line.namespace}</small>
        </span>
        <code title={line.revision}>{shortRevision(line.revision)}</code>
        <span class="message">
          {state !== "ready" && state !== "none" && <b>{stateWords[state]} </b>}
          {line.message}
        </span>
        <small>
          <Age since={line.since} />
        </small>
      </a>
    </li>
  );
}

/** A revision as people say it: main@sha1:0123456. */
export function shortRevision(revision: string | undefined): string {
  return (revision ?? "").replace(/[0-9a-f]{12,}/g, (hash) => short(hash));
}
