// SPDX-License-Identifier: Apache-2.0

import { effect } from "@preact/signals";
import { describe, expect, it } from "vitest";
import { compare, LaneStore } from "../src/api/lanes";
import { lanes, laneOf, withCell } from "./fixture/lanes";

const podinfo = laneOf("apps", "podinfo", "6.0.0", "0123456");
const cart = laneOf("shop", "cart", "1.0.0", "0123456");

describe("the order of lanes", () => {
  it("puts what failed before what waits, and that before what moves", () => {
    const failed = withCell(cart, "apply", { state: "failed" });
    const waiting = withCell(laneOf("apps", "b", "1", "1"), "canary", { state: "waiting" });
    const moving = withCell(laneOf("apps", "a", "1", "1"), "canary", { state: "moving" });
    expect([podinfo, moving, waiting, failed].sort(compare).map((lane) => lane.state)).toEqual(["failed", "waiting", "moving", "ready"]);
  });
  it("puts what is suspended or unknown before what is ready: somebody may have forgotten it", () => {
    const suspended = withCell(cart, "source", { state: "suspended" });
    const unknown = withCell(laneOf("apps", "web", "1", "1"), "source", { state: "unknown" });
    expect([podinfo, suspended, unknown].sort(compare)).toEqual([unknown, suspended, podinfo]);
  });
});

describe("the store", () => {
  it("draws one lane again when one of a thousand changes", () => {
    const store = new LaneStore();
    const all = lanes(1000);
    store.apply({ reset: true, set: all });
    let drawn = -1000;
    for (const lane of store.lanes.values())
      effect(() => {
        lane.value;
        drawn++;
      });
    store.apply({ set: [withCell(all[500]!, "canary", { state: "moving", value: "10 %" })] });
    expect(drawn).toBe(1);
  });
  it("draws nothing again when a connection comes back and all is as it was", () => {
    const store = new LaneStore();
    store.apply({ reset: true, set: [podinfo, cart] });
    let drawn = 0;
    effect(() => {
      store.lanes.get(podinfo.key)?.value;
      store.keys.value;
      drawn++;
    });
    store.apply({ reset: true, set: [structuredClone(podinfo), structuredClone(cart)] });
    expect(drawn).toBe(1);
  });
  it("forgets what is gone, and what a reset does not have", () => {
    const store = new LaneStore();
    store.apply({ reset: true, set: [podinfo, cart] });
    store.apply({ gone: [cart.key] });
    expect(store.keys.value).toEqual([podinfo.key]);
    store.apply({ reset: true, set: [cart] });
    expect(store.keys.value).toEqual([cart.key]);
    expect(store.lanes.has(podinfo.key)).toBe(false);
  });
  it("tells of states that change, but not of those that a reset finds", () => {
    const store = new LaneStore();
    const told: string[] = [];
    store.onStateChange = (changed) => told.push(...changed.map(({ lane, before }) => `${lane.name} ${before} ${lane.state}`));
    store.apply({ reset: true, set: [podinfo] });
    store.apply({ set: [withCell(podinfo, "apply", { state: "failed" })] });
    store.apply({ set: [withCell(podinfo, "apply", { state: "failed", message: "again" })] });
    expect(told).toEqual(["podinfo ready failed"]);
  });
  it("says that the first look has come, even if there is nothing", () => {
    const store = new LaneStore();
    expect(store.loaded.value).toBe(false);
    store.apply({ reset: true, set: [] });
    expect(store.loaded.value).toBe(true);
  });
});
