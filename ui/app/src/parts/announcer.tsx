// SPDX-License-Identifier: Apache-2.0

import { signal } from "@preact/signals";
import { store, type StateChange } from "../api/lanes";
import { columnWords, count, stateWords } from "../words";

/** How long changes are collected before they are said, in milliseconds. */
const pause = 2_000;
/** More changes than this are counted instead of told. */
const told = 3;

const said = signal("");
let pending = new Map<string, StateChange>();
let timer: ReturnType<typeof setTimeout> | undefined;

store.onStateChange = (changed) => {
  for (const change of changed) pending.set(change.lane.key, change);
  timer ??= setTimeout(() => {
    said.value = sentence([...pending.values()]);
    pending = new Map();
    timer = undefined;
  }, pause);
};

/** Says what changed. */
export function sentence(changed: StateChange[]): string {
  if (changed.length > told) {
    const failed = changed.filter(({ lane }) => lane.state === "failed").length;
    return `${count(changed.length, "application")} changed` + (failed > 0 ? `, ${failed} failed` : "");
  }
  return changed
    .map(({ lane }) => `${lane.name} in ${lane.namespace}: ${lane.column ? columnWords[lane.column] + " " : ""}${stateWords[lane.state]}`)
    .join(". ");
}

/** Tells a screen reader what changes. */
export function Announcer() {
  return (
    <div class="off-screen" role="log" aria-live="polite" aria-label="Changes">
      {said}
    </div>
  );
}
