// SPDX-License-Identifier: Apache-2.0

import { signal } from "@preact/signals";
import { store, type Turn } from "../api/lanes";
import { columnWords, count, stateWords } from "../words";

/** How long changes are collected before they are said, in milliseconds. */
const pause = 2_000;
/** More changes than this are counted instead of told. */
const told = 3;

const said = signal("");
let pending = new Map<string, Turn>();
let timer: ReturnType<typeof setTimeout> | undefined;

store.onTurn = (turns) => {
  for (const turn of turns) pending.set(turn.lane.key, turn);
  timer ??= setTimeout(() => {
    said.value = sentence([...pending.values()]);
    pending = new Map();
    timer = undefined;
  }, pause);
};

/** Says what changed. */
export function sentence(turns: Turn[]): string {
  if (turns.length > told) {
    const failed = turns.filter((turn) => turn.lane.state === "failed").length;
    return `${count(turns.length, "application")} changed` + (failed > 0 ? `, ${failed} failed` : "");
  }
  return turns
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
