// SPDX-License-Identifier: Apache-2.0

import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { connect } from "../src/api/stream";
import type { ObjectDetail } from "../src/api/types";
import { ObjectScreen } from "../src/screens/object";
import * as details from "./fixture/details";

/** The browser's end of the stream. */
class Source extends EventTarget {
  static last: Source;
  constructor() {
    super();
    Source.last = this;
  }
  close(): void {}
}

describe("the page of a Kustomization", () => {
  let root: HTMLElement;
  let is: ObjectDetail;
  beforeEach(() => {
    vi.useFakeTimers();
    vi.stubGlobal("EventSource", Source);
    is = details.object("Kustomization", "apps", "podinfo"); // which depends on database
    vi.stubGlobal("fetch", vi.fn(async () => Response.json(is)));
    root = document.createElement("div");
    document.body.append(root);
  });
  afterEach(() => {
    render(null, root);
    root.remove();
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });
  const pass = (milliseconds: number) => act(async () => void (await vi.advanceTimersByTimeAsync(milliseconds)));
  const show = async () => {
    connect();
    await act(async () => render(<ObjectScreen kind="Kustomization" namespace="apps" name="podinfo" />, root));
    await pass(1_000);
  };
  const change = async (namespace: string, name: string) => {
    Source.last.dispatchEvent(new MessageEvent("object", { data: JSON.stringify({ kind: "Kustomization", namespace, name }) }));
    await pass(1_000);
  };

  it("is read again for itself and for what it depends on, not for every other one", async () => {
    await show();
    for (const other of ["cart", "search", "checkout"]) await change("apps", other);
    await change("elsewhere", "podinfo");
    expect(fetch).toHaveBeenCalledTimes(1);
    await change("apps", "podinfo");
    expect(fetch).toHaveBeenCalledTimes(2);
    await change("apps", "database");
    expect(fetch).toHaveBeenCalledTimes(3);
  });

  it("draws a folder of many objects when it is opened", async () => {
    is = { ...is, inventory: Array.from({ length: 2_000 }, (_, i) => ({ kind: "ConfigMap", namespace: "apps", name: `settings-${i}` })) };
    await show();
    expect(root.querySelectorAll(".tree li")).toHaveLength(0);
    const folder = root.querySelector<HTMLDetailsElement>(".tree");
    await act(async () => {
      folder!.open = true;
      folder!.dispatchEvent(new Event("toggle"));
    });
    expect(root.querySelectorAll(".tree li")).toHaveLength(2_001);
  });

  it("does not say of a kind that no controller reconciles that nothing is known of it", async () => {
    is = { ...details.object("MetricTemplate", "apps", "podinfo"), conditions: [] };
    await act(async () => render(<ObjectScreen kind="MetricTemplate" namespace="apps" name="podinfo" />, root));
    await pass(1_000);
    expect(root.querySelector(".state")?.textContent?.trim()).toBe("has no conditions");
  });
});
