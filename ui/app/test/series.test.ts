// SPDX-License-Identifier: Apache-2.0

import { describe, expect, it } from "vitest";
import type { CanaryRelease } from "../src/api/types";
import { endOf, limitsOf, measured, number, weights } from "../src/parts/series";

const begin = Date.parse("2026-05-01T12:00:00Z") / 1000;
const at = (seconds: number) => new Date((begin + seconds) * 1000).toISOString();
const steps = [
  { weight: 10, at: at(10), measured: [{ name: "rate", value: 99.9 }] },
  { weight: 20, at: at(70), measured: [{ name: "rate", value: 97, failure: "97% is below 99%" }] },
  { weight: 30, at: at(130), measured: [{ name: "rate" }] },
];
const release: CanaryRelease = { revision: "r", startedAt: at(0), steps };
const relative = (times: number[]) => times.map((time) => time - begin);

describe("the weight of a release", () => {
  it("goes from nothing to now while the release is under way", () => {
    const found = weights(release, (begin + 200) * 1000);
    expect(relative(found.times)).toEqual([0, 10, 70, 130, 200]);
    expect(found.values).toEqual([0, 10, 20, 30, 30]);
  });
  it("ends at all of the users when it was promoted, and at none when it failed", () => {
    expect(weights({ ...release, endedAt: at(190), verdict: "promoted" }, 0).values.at(-1)).toBe(100);
    expect(weights({ ...release, endedAt: at(190), verdict: "failed" }, 0).values.at(-1)).toBe(0);
    expect(endOf({ ...release, verdict: "skipped" })).toBe(100); // without an analysis
    expect(endOf({ ...release, verdict: "superseded" })).toBe(0);
  });
  it("is nothing without steps", () => expect(weights({ revision: "r", startedAt: at(0) }, 0).times).toEqual([]));
});

describe("what was measured", () => {
  it("stands at the end of each step, with what failed and what had no values", () => {
    const found = measured(release, "rate", (begin + 200) * 1000);
    expect(relative(found.times)).toEqual([70, 130, 200]);
    expect(found.values).toEqual([99.9, 97, null]);
    expect(found.failed).toEqual([false, true, false]);
  });
});

describe("limits in the words of a report", () => {
  it.each([
    ["at least 99.00%", { min: 99 }],
    ["at most 500ms", { max: 500 }],
    ["at most 1m0.5s", { max: 60_500 }],
    ["0.10 to 0.90", { min: 0.1, max: 0.9 }],
    ["any", {}],
    [undefined, {}],
    ["at most a lot", {}],
  ])("%s", (good, want) => expect(limitsOf(good)).toEqual(want));
  it("are no number if they are none", () => expect(number("")).toBeNaN());
});
