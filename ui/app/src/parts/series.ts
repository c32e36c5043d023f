// SPDX-License-Identifier: Apache-2.0

// Curves from what the steps of a release measured.

import type { CanaryRelease } from "../api/types";

export interface Series {
  /** Seconds. */
  times: number[];
  values: (number | null)[];
  failed?: boolean[];
}

export interface Limits {
  min?: number;
  max?: number;
}

const seconds = (time: string) => Date.parse(time) / 1000;

/** The weight over the time of a release, up to its end or now. */
export function weights(release: CanaryRelease, now: number): Series {
  const found: Series = { times: [], values: [] };
  const add = (at: number, value: number) => {
    if (at < (found.times.at(-1) ?? -Infinity)) return;
    found.times.push(at);
    found.values.push(value);
  };
  const steps = release.steps ?? [];
  if (steps[0] && steps[0].weight > 0) add(seconds(release.startedAt), 0);
  for (const step of steps) add(seconds(step.at), step.weight);
  const last = found.values.at(-1);
  if (last === undefined || last === null) return found;
  add(release.endedAt ? seconds(release.endedAt) : now / 1000, last);
  if (release.endedAt && release.verdict) add(seconds(release.endedAt) + 1, endOf(release));
  return found;
}

/** How many of the users have the version of a release that has ended, in percent. */
export function endOf(release: CanaryRelease): number {
  return release.verdict === "promoted" || release.verdict === "skipped" ? 100 : 0;
}

/** The names of all that was measured, in their order. */
export function metricsOf(release: CanaryRelease | undefined): string[] {
  return [...new Set((release?.steps ?? []).flatMap((step) => (step.measured ?? []).map((m) => m.name)))];
}

/** What the steps measured of a metric: the last check of each, which is made before the next step begins. */
export function measured(release: CanaryRelease, name: string, now: number): Series {
  const found: Required<Series> = { times: [], values: [], failed: [] };
  const steps = release.steps ?? [];
  steps.forEach((step, i) => {
    const m = step.measured?.find((m) => m.name === name);
    if (!m) return;
    const end = steps[i + 1]?.at ?? release.endedAt;
    found.times.push(end ? seconds(end) : Math.max(seconds(step.at), now / 1000));
    found.values.push(m.value ?? null);
    found.failed.push(Boolean(m.failure));
  });
  return found;
}

/** What values should be, from the words of a report: at least 99.00%, at most 500ms, 0.10 to 0.90. */
export function limitsOf(good: string | undefined): Limits {
  const range = /^(\S+) to (\S+)$/.exec(good ?? "");
  const one = /^at (least|most) (\S+)$/.exec(good ?? "");
  if (range?.[1] && range[2]) return limits(number(range[1]), number(range[2]));
  if (one?.[2]) return one[1] === "least" ? limits(number(one[2]), NaN) : limits(NaN, number(one[2]));
  return {};
}

function limits(min: number, max: number): Limits {
  return { ...(!Number.isNaN(min) && { min }), ...(!Number.isNaN(max) && { max }) };
}

const milliseconds: Record<string, number> = { ns: 1e-6, µs: 1e-3, us: 1e-3, ms: 1, s: 1e3, m: 6e4, h: 3.6e6 };

/** A number with % or without a unit, or a duration of Go in milliseconds. */
export function number(text: string): number {
  if (/^-?[\d.]+(e[+-]?\d+)?%?$/i.test(text)) return Number.parseFloat(text);
  let sum = 0;
  const remainder = text.replace(/([\d.]+)(ns|µs|us|ms|s|m|h)/g, (_, value: string, unit: string) => {
    sum += Number.parseFloat(value) * (milliseconds[unit] ?? NaN);
    return "";
  });
  return remainder === "" && text !== "" ? sum : NaN;
}

/** The unit in which values of a metric are told. */
export function unitOf(good: string | undefined): string {
  if (/%$/.test(good ?? "")) return " %";
  return /\d(ns|µs|ms|s|m|h)$/.test(good ?? "") ? " ms" : "";
}
