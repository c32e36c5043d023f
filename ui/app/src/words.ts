// SPDX-License-Identifier: Apache-2.0

// How times, numbers and states are said.

import type { CellState, Column } from "./api/types";

export const stateWords: Record<CellState, string> = {
  failed: "failed",
  waiting: "waiting",
  suspended: "suspended",
  moving: "moving",
  unknown: "not known",
  ready: "ready",
  none: "no such step",
};

export const columnWords: Record<Column, string> = {
  image: "Image",
  policy: "Policy",
  commit: "Commit",
  source: "Source",
  apply: "Apply",
  canary: "Canary",
  live: "Live",
};

const minute = 60;
const hour = 60 * minute;
const day = 24 * hour;

/** A duration in its two largest units at most: 42 s, 7 min, 3 h 20 min, 2 d 4 h, 40 d. */
export function duration(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  if (s < minute) return `${s} s`;
  if (s < hour) return s < 10 * minute && s % minute > 0 ? `${Math.floor(s / minute)} min ${s % minute} s` : `${Math.floor(s / minute)} min`;
  if (s < day) return two(s, hour, "h", minute, "min");
  return s < 10 * day ? two(s, day, "d", hour, "h") : `${Math.floor(s / day)} d`;
}

function two(s: number, large: number, largeUnit: string, small: number, smallUnit: string): string {
  const remainder = Math.floor((s % large) / small);
  return `${Math.floor(s / large)} ${largeUnit}` + (remainder > 0 ? ` ${remainder} ${smallUnit}` : "");
}

/** How long ago a time was, in one unit, for a narrow place; "now" within ten seconds. */
export function age(since: string | undefined, now: number): string {
  const at = since ? Date.parse(since) : NaN;
  if (!(at > 0)) return ""; // a time that was never set is year 1
  const s = Math.floor((now - at) / 1000);
  if (s < 10) return "now";
  if (s < minute) return `${s - (s % 10)} s`;
  if (s < hour) return `${Math.floor(s / minute)} min`;
  if (s < 2 * day) return `${Math.floor(s / hour)} h`;
  return `${Math.floor(s / day)} d`;
}

/** Tells whether something happened within the last hour: for so long it may still be what somebody looks for. */
export function isRecent(at: string, now: number): boolean {
  return now - Date.parse(at) < hour * 1000;
}

/** Time that is left, to count down: 9:05 left, 1:09:05 left, 3 d 2 h left; "due" when it has passed. */
export function left(until: string, now: number): string {
  const s = Math.ceil((Date.parse(until) - now) / 1000);
  if (Number.isNaN(s)) return "";
  if (s <= 0) return "due";
  if (s >= 2 * day) return `${two(s, day, "d", hour, "h")} left`;
  const pad = (n: number) => String(n).padStart(2, "0");
  const clock = `${pad(Math.floor((s % hour) / minute))}:${pad(s % minute)}`;
  return `${s >= hour ? `${Math.floor(s / hour)}:${clock}` : clock.replace(/^0/, "")} left`;
}

/** A time of day, with the date unless it is today's. */
export function moment(at: string, now: number): string {
  const time = new Date(at);
  if (Number.isNaN(time.getTime())) return "";
  const today = new Date(now).toDateString() === time.toDateString();
  const pad = (n: number) => String(n).padStart(2, "0");
  const clock = `${pad(time.getHours())}:${pad(time.getMinutes())}:${pad(time.getSeconds())}`;
  return today ? clock : `${time.getFullYear()}-${pad(time.getMonth() + 1)}-${pad(time.getDate())} ${clock}`;
}

/** A number of things: 1 lane, 2 lanes. */
export function count(n: number, one: string, many = one + "s"): string {
  return `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
}

/** A measured value, short enough for a table. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (size >= 1000) return value.toLocaleString("en", { maximumFractionDigits: 0 });
  return value.toLocaleString("en", { maximumFractionDigits: size >= 100 ? 1 : size >= 1 ? 2 : 4 });
}

/** A digest or commit, as people say it. */
export function short(hash: string): string {
  const bare = hash.replace(/^sha\d+:/, "");
  return /^[0-9a-f]{12,}$/.test(bare) ? bare.slice(0, 7) : hash;
}

/** Events with the newest first, of those that come with the oldest first. The cluster writes most times to the second: of one second, what came last comes first. */
export function newestFirst<T extends { time: string }>(events: readonly T[]): T[] {
  return events.toReversed().sort((a, b) => Date.parse(b.time) - Date.parse(a.time));
}
