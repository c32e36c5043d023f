// SPDX-License-Identifier: Apache-2.0

import { describe, expect, it } from "vitest";
import { age, duration, figure, isRecent, left, short } from "../src/words";

const now = Date.parse("2026-05-01T12:00:00Z");
const before = (seconds: number) => new Date(now - seconds * 1000).toISOString();

describe("words", () => {
  it.each([
    [0, "0 s"],
    [59.4, "59 s"],
    [60, "1 min"],
    [75, "1 min 15 s"],
    [3599, "59 min"],
    [12_000, "3 h 20 min"],
    [187_200, "2 d 4 h"],
    [90 * 86_400, "90 d"],
    [-5, "0 s"],
  ])("say a duration of %d seconds as %s", (seconds, want) => expect(duration(seconds)).toBe(want));

  it.each([
    [3, "now"],
    [-20, "now"],
    [44, "40 s"],
    [61, "1 min"],
    [7_300, "2 h"],
    [200_000, "2 d"],
  ])("say %d seconds ago as %s", (seconds, want) => expect(age(before(seconds), now)).toBe(want));

  it("say nothing about times that are none", () => {
    expect(age(undefined, now)).toBe("");
    expect(age("soon", now)).toBe("");
    expect(age("0001-01-01T00:00:00Z", now)).toBe("");
  });

  it.each([
    [545, "9:05 left"],
    [4145, "1:09:05 left"],
    [59, "0:59 left"],
    [266_400, "3 d 2 h left"],
    [-1, "due"],
  ])("count %d seconds down as %s", (seconds, want) => expect(left(before(-seconds), now)).toBe(want));

  it.each([
    [99.75, "99.75"],
    [0.01234, "0.0123"],
    [123.456, "123.5"],
    [12_345.6, "12,346"],
    [NaN, "NaN"],
  ])("show %d as %s", (value, want) => expect(figure(value)).toBe(want));

  it("tell what is of the last hour from what is older", () => {
    expect(isRecent(before(3_599), now)).toBe(true);
    expect(isRecent(before(3_601), now)).toBe(false);
  });

  it("shorten hashes, and nothing else", () => {
    expect(short("sha256:0123456789abcdef")).toBe("0123456");
    expect(short("release-candidate-1")).toBe("release-candidate-1");
  });
});
