// SPDX-License-Identifier: Apache-2.0

import type { CellState } from "../api/types";
import { stateWords } from "../words";

// Each state has a shape of its own: nothing is said by colour alone.
const shapes: Record<CellState, { d: string; line?: boolean }> = {
  ready: { d: "M8 4.2a3.8 3.8 0 1 1 0 7.6 3.8 3.8 0 0 1 0-7.6z" },
  moving: { d: "M4.5 2.6v10.8L13 8z" },
  waiting: { d: "M8 2.2 13.8 8 8 13.8 2.2 8z", line: true },
  failed: { d: "M5.2 1.5h5.6l3.7 3.7v5.6l-3.7 3.7H5.2l-3.7-3.7V5.2z M5.6 5.6l4.8 4.8 M10.4 5.6l-4.8 4.8" },
  suspended: { d: "M4.2 3h2.6v10H4.2z M9.2 3h2.6v10H9.2z" },
  unknown: { d: "M8 3.4a4.6 4.6 0 1 1 0 9.2 4.6 4.6 0 0 1 0-9.2z", line: true },
  none: { d: "M5 8h6", line: true },
};

/** The shape of a state. It says its word to those who do not see it, unless text beside it does. */
export function Mark(props: { state: CellState; silent?: boolean }) {
  const { d, line } = shapes[props.state];
  const label = props.silent ? ({ "aria-hidden": true } as const) : ({ role: "img", "aria-label": stateWords[props.state] } as const);
  return (
    <svg class={`mark is-${props.state}`} viewBox="0 0 16 16" width="14" height="14" {...label}>
      <path d={d} class={line ? "line" : "area"} />
    </svg>
  );
}

const conditionStates: Record<string, CellState> = { True: "ready", False: "failed", Unknown: "moving" };

/** The state of an object as its condition Ready says it. */
export function stateOf(ready: string | undefined, suspended?: boolean): CellState {
  return suspended ? "suspended" : (conditionStates[ready ?? ""] ?? "unknown");
}
