// SPDX-License-Identifier: Apache-2.0

// The lanes, each a signal of its own: a change of one draws one row again, however many there are.

import { batch, signal, type Signal } from "@preact/signals";
import type { CellState, Lane, LaneChange } from "./types";

const ranks: Record<CellState, number> = { failed: 0, waiting: 1, moving: 2, suspended: 3, unknown: 3, ready: 4, none: 5 };

/** Orders as report.Lanes does: what needs a person comes first. */
export function compare(a: Lane, b: Lane): number {
  return ranks[a.state] - ranks[b.state] || order(a.namespace, b.namespace) || order(a.name, b.name) || order(a.key, b.key);
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** How many lanes change at once at most while each change is shown as a movement. */
const maxAnimated = 20;

/** A lane that came to another state. */
export interface StateChange {
  lane: Lane;
  before: CellState | undefined;
}

export class LaneStore {
  readonly lanes = new Map<string, Signal<Lane>>();
  /** Keys of all lanes, in their order. */
  readonly keys = signal<readonly string[]>([]);
  /** Counts changes: what depends on all lanes reads it. */
  readonly changes = signal(0);
  /** The first event has come. */
  readonly loaded = signal(false);
  /** Much changed at once: that is shown without movements. */
  busy = false;
  /** Called with lanes whose state changed, not with those of a reset. */
  onStateChange: (changed: StateChange[]) => void = () => {};

  apply(change: LaneChange): void {
    const changed: StateChange[] = [];
    this.busy = (change.set?.length ?? 0) > maxAnimated;
    batch(() => {
      if (change.reset) {
        const kept = new Set(change.set?.map((lane) => lane.key));
        for (const key of this.lanes.keys()) if (!kept.has(key)) this.lanes.delete(key);
      }
      for (const key of change.gone ?? []) this.lanes.delete(key);
      for (const lane of change.set ?? []) {
        const known = this.lanes.get(lane.key);
        if (known?.value.state !== lane.state && !change.reset) changed.push({ lane, before: known?.value.state });
        if (!known) this.lanes.set(lane.key, signal(lane));
        else if (!change.reset || JSON.stringify(known.value) !== JSON.stringify(lane)) known.value = lane;
      }
      const sorted = [...this.lanes.values()].map((lane) => lane.peek()).sort(compare);
      const keys = sorted.map((lane) => lane.key);
      if (!same(keys, this.keys.peek())) this.keys.value = keys;
      this.changes.value++;
      this.loaded.value = true;
    });
    if (changed.length > 0) this.onStateChange(changed);
  }

  /** All lanes in their order; read inside a computed, it follows every change. */
  all(): Lane[] {
    this.changes.value;
    return this.keys.value.flatMap((key) => this.lanes.get(key)?.peek() ?? []);
  }
}

function same(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((key, i) => key === b[i]);
}

/** The lanes of the cluster. */
export const store = new LaneStore();
