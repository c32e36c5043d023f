// SPDX-License-Identifier: Apache-2.0

import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { store } from "../src/api/lanes";
import { connect } from "../src/api/stream";
import type { ObjectReference } from "../src/api/types";
import { eventCommands, TimelineScreen } from "../src/screens/timeline";
import { laneOf, withCell } from "./fixture/lanes";

/** The browser's end of the stream. */
class Source extends EventTarget {
  static last: Source;
  constructor() {
    super();
    Source.last = this;
  }
  close(): void {}
}

describe("a timeline that was opened by its address", () => {
  const stage = { pipeline: "shop", namespace: "shop", name: "dev", state: "ready" as const };
  const lane = { ...laneOf("apps", "podinfo", "1", "1"), stages: [stage] };
  let root: HTMLElement;
  beforeEach(() => {
    vi.useFakeTimers();
    vi.stubGlobal("EventSource", Source);
    vi.stubGlobal("fetch", vi.fn(async () => Response.json({ items: [] })));
    store.apply({ reset: true });
    root = document.createElement("div");
    document.body.append(root);
  });
  afterEach(() => {
    render(null, root);
    root.remove();
    store.apply({ reset: true });
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });
  const pass = (milliseconds: number) => act(async () => void (await vi.advanceTimersByTimeAsync(milliseconds)));
  const change = async (object: ObjectReference) => {
    Source.last.dispatchEvent(new MessageEvent("object", { data: JSON.stringify(object) }));
    await pass(1_000);
  };

  it("does not say that there are no events to who may not list them", async () => {
    vi.stubGlobal("fetch", vi.fn(async () => Response.json({ items: [], eventsProblem: "you cannot list events in apps" })));
    await act(async () => render(<TimelineScreen lane={lane.key} />, root));
    await pass(1_000);
    expect(root.textContent).toContain("Not all events are known: you cannot list events in apps");
    expect(root.textContent).not.toContain("The cluster keeps no event");
  });

  it("shows a command for the events of each object of the lane, of which some are in other namespaces", () => {
    const lines = eventCommands({ ...lane, target: { kind: "Deployment", namespace: "apps", name: "frontend" } }, "apps");
    for (const line of ["sluice events --for Pipeline/shop -n shop", "sluice events --for Deployment/frontend -n apps"]) expect(lines).toContain(line);
    expect(lines).toHaveLength(new Set(lines).size);
    expect(eventCommands(undefined, "apps")).toEqual(["sluice events -n apps"]);
  });

  it("is read again now and then while pods may tell of something that no object does, and not when all is ready", async () => {
    const moving = withCell(lane, "live", { state: "moving", message: "1 of 2 pods are ready" });
    let n = 0;
    vi.stubGlobal("fetch", vi.fn(async () => Response.json({ items: [], eventsProblem: `answer ${++n}` })));
    store.apply({ set: [moving] });
    await act(async () => render(<TimelineScreen lane={lane.key} />, root));
    await pass(25_000);
    expect(fetch).toHaveBeenCalledTimes(3);
    await act(async () => store.apply({ set: [lane] }));
    await pass(60_000);
    expect(fetch).toHaveBeenCalledTimes(4);
  });

  it("is read ever less often while it says the same", async () => {
    store.apply({ set: [withCell(lane, "live", { state: "failed", message: "0 of 2 pods are ready" })] });
    await act(async () => render(<TimelineScreen lane={lane.key} />, root));
    await pass(95_000); // at 0, 10, 30 and 70 seconds
    expect(fetch).toHaveBeenCalledTimes(4);
    await pass(240_000); // each minute
    expect(fetch).toHaveBeenCalledTimes(8);
  });

  it.each(["waiting", "failed"] as const)("is not read again and again while a canary is %s", async (state) => {
    store.apply({ set: [withCell(lane, "canary", { state, message: "0 of 1 approvals" })] });
    await act(async () => render(<TimelineScreen lane={lane.key} />, root));
    await pass(120_000);
    expect(fetch).toHaveBeenCalledTimes(1);
  });

  it("is read again when an object of the lane changes, which comes after it", async () => {
    connect();
    await act(async () => render(<TimelineScreen lane={lane.key} />, root));
    await act(async () => store.apply({ set: [lane] }));
    await pass(1_000);
    expect(fetch).toHaveBeenCalledTimes(1);
    await change({ kind: "Kustomization", namespace: "elsewhere", name: "another" });
    expect(fetch).toHaveBeenCalledTimes(1);
    await change(lane.cells.find((cell) => cell.column === "apply")!.object!);
    expect(fetch).toHaveBeenCalledTimes(2);
    await change({ kind: "Pipeline", namespace: "shop", name: "shop" });
    expect(fetch).toHaveBeenCalledTimes(3);
  });
});
