// SPDX-License-Identifier: Apache-2.0

import { render, type ComponentChild } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { store } from "../src/api/lanes";
import { address } from "../src/router";
import { ObjectsScreen } from "../src/screens/objects";
import { PolicyScreen } from "../src/screens/policy";
import { Releases } from "../src/screens/releases";
import { TimelineScreen } from "../src/screens/timeline";
import * as details from "./fixture/details";
import { laneOf } from "./fixture/lanes";

describe("what was chosen on a screen is in its address, to be sent to somebody:", () => {
  let root: HTMLElement;
  const asked = vi.fn(async (to: string) => {
    if (to.includes("/policies/")) return Response.json({ ...details.policy("apps", "podinfo", null), pattern: "^main-(?P<n>.*)$", extract: "$n" });
    return Response.json({ items: to.includes("/timeline") ? details.timeline("apps", "podinfo") : details.objects("Canary") });
  });
  beforeEach(() => {
    vi.useFakeTimers();
    vi.stubGlobal("fetch", asked);
    asked.mockClear();
    root = document.createElement("div");
    document.body.append(root);
  });
  afterEach(() => {
    render(null, root);
    root.remove();
    vi.useRealTimers();
    vi.unstubAllGlobals();
    history.replaceState(null, "", "/");
    address.value = "/";
  });
  const show = async (at: string, screen: ComponentChild) => {
    history.replaceState(null, "", at);
    address.value = at;
    await act(async () => render(screen, root));
    await act(async () => void (await vi.advanceTimersByTimeAsync(500)));
  };
  const give = async (selector: string, value: string, event: string) => {
    const field = root.querySelector<HTMLInputElement>(selector);
    await act(async () => {
      if (field!.type === "checkbox") field!.checked = value !== "";
      else field!.value = value;
      field!.dispatchEvent(new Event(event, { bubbles: true }));
    });
    await act(async () => void (await vi.advanceTimersByTimeAsync(500)));
  };

  it("another rule, which begins with the policy's own pattern", async () => {
    await show("/policy/apps/podinfo", <PolicyScreen namespace="apps" name="podinfo" />);
    expect(address.value).toBe("/policy/apps/podinfo");
    expect([...root.querySelectorAll("input[placeholder]")].map((field) => field.getAttribute("placeholder"))).toEqual(["^main-(?P<n>.*)$", "$n"]);
    expect(root.querySelector(".lead")?.textContent).toContain("· pattern ^main-(?P<n>.*)$ extract $n");
    await give("select", "semver", "change");
    await give("input[placeholder='>=1.0.0 <2.0.0']", "^2", "input");
    expect(address.value).toBe("/policy/apps/podinfo?kind=semver&range=%5E2");
  });
  it("and is tried by who opens it", async () => {
    await show("/policy/apps/podinfo?kind=semver&range=%5E2&pattern=", <PolicyScreen namespace="apps" name="podinfo" />);
    expect(asked.mock.calls.map(([to]) => to)).toEqual(["/api/v1/policies/apps/podinfo?kind=semver&range=%5E2&pattern="]);
    expect(root.querySelector<HTMLInputElement>("input[placeholder='>=1.0.0 <2.0.0']")?.value).toBe("^2");
    expect(root.querySelector(".lead")?.textContent).not.toContain("pattern");
  });
  it("the filters of a timeline", async () => {
    await show("/timeline/Deployment%2Fapps%2Fpodinfo?kind=Canary", <TimelineScreen lane="Deployment/apps/podinfo" />);
    expect(root.querySelectorAll(".story li")).toHaveLength(3);
    await give("input[type=checkbox]", "1", "change");
    expect(root.querySelectorAll(".story li")).toHaveLength(1);
    await give("input[type=search]", "advancement", "input");
    expect(address.value).toBe("/timeline/Deployment%2Fapps%2Fpodinfo?kind=Canary&warnings=1&q=advancement");
  });
  it("but for what the screen has no choice for, which filtered with an empty selection", async () => {
    await show("/timeline/Deployment%2Fapps%2Fpodinfo?kind=Foo", <TimelineScreen lane="Deployment/apps/podinfo" />);
    expect(root.querySelector("select")?.value).toBe("");
    expect(root.querySelectorAll(".story li").length).toBeGreaterThan(3);
    await show("/policy/apps/podinfo?kind=foo&order=up", <PolicyScreen namespace="apps" name="podinfo" />);
    expect(asked.mock.calls.at(-1)).toEqual(["/api/v1/policies/apps/podinfo", expect.anything()]);
    expect(root.querySelector("select")?.value).toBe("");
    store.apply({ reset: true, set: [laneOf("apps", "podinfo", "1", "1")] });
    await show("/?state=foo", <Releases />);
    expect(root.textContent).not.toContain("No application is like that");
    store.apply({ reset: true });
  });
  it("the search of objects", async () => {
    await show("/objects?kind=Canary&q=cart", <ObjectsScreen kind="Canary" />);
    expect(root.querySelectorAll(".lines li")).toHaveLength(1);
    await give("input[type=search]", "", "input");
    expect(address.value).toBe("/objects?kind=Canary");
  });
});
