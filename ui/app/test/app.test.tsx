// SPDX-License-Identifier: Apache-2.0

import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { App } from "../src/app";
import { address, go, replace } from "../src/router";

describe("another screen", () => {
  let root: HTMLElement;
  const main = () => root.querySelector("main");
  beforeEach(async () => {
    vi.stubGlobal("fetch", vi.fn(async () => Response.json({ error: "there is none" }, { status: 404 })));
    history.replaceState(null, "", "/");
    address.value = "/";
    root = document.createElement("div");
    document.body.append(root);
    await act(async () => render(<App />, root));
  });
  afterEach(() => {
    render(null, root);
    root.remove();
    vi.unstubAllGlobals();
  });
  const goTo = (to: string) => act(async () => go(to));

  it("gets the focus, and says which one it is", async () => {
    expect(document.activeElement).not.toBe(main()); // of a page that was just loaded
    root.querySelector<HTMLElement>('nav a[href="/versions"]')?.focus();
    await goTo("/versions");
    expect(document.activeElement).toBe(main());
    expect([main()?.getAttribute("aria-label"), document.title]).toEqual(["Versions", "Versions · Sluice"]);
  });
  it.each([
    ["/canary/apps/podinfo", "Canary podinfo"],
    ["/pipeline/apps/podinfo", "Pipeline podinfo"],
    ["/objects/Kustomization/apps/podinfo", "Kustomization podinfo"],
    ["/commit/apps/podinfo", "Commits of podinfo"],
    ["/timeline/Deployment%2Fapps%2Fpodinfo", "Timeline of podinfo"],
    ["/no/such", "There is no such page"],
  ])("%s has a title of its own", async (to, title) => {
    await goTo(to);
    expect([main()?.getAttribute("aria-label"), document.title]).toEqual([title, `${title} · Sluice`]);
  });
  it("does not take it from who searches on it", async () => {
    await goTo("/versions");
    const search = root.querySelector<HTMLInputElement>("input[type=search]");
    search?.focus();
    await act(async () => replace("/versions?q=api"));
    expect(document.activeElement).toBe(search);
  });
});
