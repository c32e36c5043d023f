// SPDX-License-Identifier: Apache-2.0

import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { store } from "../src/api/lanes";
import { startKeys } from "../src/keys";
import { letters, setLetters } from "../src/letters";
import { Palette } from "../src/parts/palette";
import { Shortcuts } from "../src/parts/shortcuts";
import { address } from "../src/router";
import { Releases } from "../src/screens/releases";
import { theme } from "../src/theme";
import { laneOf } from "./fixture/lanes";

describe("keys of the page", () => {
  let root: HTMLElement;
  beforeAll(startKeys);
  beforeEach(async () => {
    theme.value = "system";
    history.replaceState(null, "", "/versions");
    address.value = "/versions";
    store.apply({ reset: true, set: [laneOf("apps", "podinfo", "1", "1")] });
    root = document.createElement("div");
    document.body.append(root);
    await act(async () =>
      render(
        <>
          <Releases />
          <Palette />
          <Shortcuts />
        </>,
        root,
      ),
    );
  });
  afterEach(() => {
    setLetters(true);
    render(null, root);
    root.remove();
  });
  const press = (keys: string[], init: KeyboardEventInit = {}) =>
    act(async () => {
      for (const key of keys) (document.activeElement ?? document.body).dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...init }));
    });
  const box = () => root.querySelector<HTMLInputElement>(".shortcuts input[type=checkbox]");

  it("do something one by one, also while a lane has the focus", async () => {
    root.querySelector<HTMLElement>("[data-cell]")?.focus();
    await press(["T"]);
    expect(theme.value).toBe("light");
    await press(["g", "r"]);
    expect(address.value).toBe("/");
  });
  it("can be switched off but for Ctrl K, as who dictates gives many, and stay so", async () => {
    await press(["?"]);
    expect(root.querySelector(".shortcuts")?.hasAttribute("open")).toBe(true);
    const ofReleases = [...root.querySelectorAll(".shortcuts dl div")].filter((one) => one.textContent.endsWith("in the releases"));
    expect(ofReleases.map((one) => one.querySelector("kbd")?.textContent)).toEqual(["j k ↓ ↑", "← → h l", "Home End"]); // no other screen has them
    await act(async () => {
      box()!.checked = false;
      box()!.dispatchEvent(new Event("change", { bubbles: true }));
    });
    expect([letters.value, localStorage.getItem("sluice.keys")]).toEqual([false, "off"]);
    await act(async () => root.querySelector<HTMLDialogElement>(".shortcuts")?.close());
    const cell = root.querySelector<HTMLElement>("[data-cell]");
    cell?.focus();
    await press(["T", "g", "r", "?", "l", "j"]);
    expect([theme.value, address.value, document.activeElement]).toEqual(["system", "/versions", cell]);
    await press(["k"], { ctrlKey: true });
    expect(root.querySelector(".palette")?.hasAttribute("open")).toBe(true);
  });
  it("are found by name where they are off, to switch them on", async () => {
    setLetters(false);
    await press(["k"], { ctrlKey: true });
    const input = root.querySelector<HTMLInputElement>(".palette input");
    await act(async () => {
      input!.value = "keys";
      input!.dispatchEvent(new Event("input", { bubbles: true }));
    });
    await act(async () => void input!.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true })));
    expect(root.querySelector(".shortcuts")?.hasAttribute("open")).toBe(true);
    expect(address.value).toBe("/versions");
  });
});
