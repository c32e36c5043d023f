// SPDX-License-Identifier: Apache-2.0

import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { store } from "../src/api/lanes";
import { openPalette, Palette } from "../src/parts/palette";
import { lanes } from "./fixture/lanes";

describe("the palette", () => {
  let root: HTMLElement;
  beforeEach(async () => {
    vi.useFakeTimers();
    store.apply({ reset: true, set: lanes(20) });
    root = document.createElement("div");
    document.body.append(root);
    await act(async () => render(<Palette />, root));
    await act(async () => openPalette());
  });
  afterEach(() => {
    render(null, root);
    root.remove();
    store.apply({ reset: true });
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });
  const type = async (text: string) => {
    const input = root.querySelector("input");
    await act(async () => {
      input!.value = text;
      input!.dispatchEvent(new Event("input", { bubbles: true }));
    });
    await act(async () => void (await vi.advanceTimersByTimeAsync(200)));
  };
  const options = () => [...root.querySelectorAll("[role=option]")].map((one) => one.textContent);

  it("finds objects that no application has, which the server knows, once nobody types", async () => {
    const asked = vi.fn(async (_: string) => Response.json({ items: [{ kind: "Receiver", namespace: "apps", name: "hook" }], more: 3 }));
    vi.stubGlobal("fetch", asked);
    await type("ho");
    await type("hook of");
    expect(asked.mock.calls.map(([address]) => address)).toEqual(["/api/v1/search?q=ho", "/api/v1/search?q=hook%20of"]);
    expect(options().at(-1)).toBe("hookapps · Receiver");
    expect(root.querySelector("[role=status]")?.textContent).toBe("There are more places: type more of the name.");
  });
  it("says that it does not show all places, and not how many: objects that lanes lead to were counted twice", async () => {
    vi.stubGlobal("fetch", vi.fn(async () => Response.json({ items: [], more: 7 })));
    await type("");
    expect(options()).toHaveLength(50);
    expect(root.querySelector("[role=status]")?.textContent).toBe("There are more places: type more of the name.");
  });
  it("tells of what it does not find in a region that is announced", async () => {
    vi.stubGlobal("fetch", vi.fn(async () => Response.json({ items: [] })));
    const status = root.querySelector("[role=status]");
    await type("nothing like this");
    expect(root.querySelector("[role=status]")).toBe(status); // one that is there before: what comes with its text is not announced
    expect(status?.textContent).toBe("Nothing has this in its name.");
  });
  it("says why objects are not known", async () => {
    vi.stubGlobal("fetch", vi.fn(async () => Response.json({ error: "too many of your requests are under way" }, { status: 429 })));
    await type("nothing like this");
    expect(root.querySelector("[role=status]")?.textContent).toContain("not known: too many of your requests are under way");
    expect(root.textContent).not.toContain("Nothing has this");
  });
});
