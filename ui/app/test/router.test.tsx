// SPDX-License-Identifier: Apache-2.0

import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { address, go, startRouter } from "../src/router";

let root: HTMLElement;
beforeAll(startRouter);
beforeEach(() => {
  window.history.replaceState(null, "", "/");
  address.value = "/";
  root = document.createElement("div");
  document.body.append(root);
});
afterEach(() => root.remove());

/** Clicks a link, and tells whether the browser is left to follow it. */
function isLeftToBrowser(href: string): boolean {
  const link = document.createElement("a");
  link.href = href;
  root.append(link);
  const click = new MouseEvent("click", { bubbles: true, cancelable: true, button: 0 });
  link.dispatchEvent(click);
  return !click.defaultPrevented;
}

describe("a link", () => {
  it("to another screen is followed without loading the page", () => {
    expect(isLeftToBrowser("/objects?kind=Canary")).toBe(false);
    expect(address.value).toBe("/objects?kind=Canary");
  });
  it("to a place on the screen is the browser's, as is the one that skips to the content", () => {
    go("/objects?kind=Canary");
    expect(isLeftToBrowser("/objects?kind=Canary#main")).toBe(true);
    expect(isLeftToBrowser("/objects?kind=Bucket#main")).toBe(false);
  });
  it("to another server is the browser's", () => expect(isLeftToBrowser("https://forge.example/")).toBe(true));
});
