// SPDX-License-Identifier: Apache-2.0

import { render } from "preact";
import { act } from "preact/test-utils";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { useDialog } from "../src/parts/dialog";

function Shown(props: { shown: boolean; closed: () => void }) {
  return <dialog {...useDialog(props.shown, props.closed)} />;
}

describe("a dialog that people close", () => {
  const closed = vi.fn();
  let root: HTMLElement;
  let dialog: HTMLDialogElement;
  const show = (shown: boolean) => act(() => render(<Shown shown={shown} closed={closed} />, root));

  beforeEach(async () => {
    closed.mockReset();
    root = document.createElement("div");
    document.body.append(root);
    await show(false);
    const found = root.querySelector("dialog");
    if (!found) throw new Error("no dialog");
    dialog = found;
    // A browser tells of the end later: here the tests do.
    dialog.showModal = () => dialog.setAttribute("open", "");
    dialog.close = () => dialog.removeAttribute("open");
    await show(true);
  });

  it("stays open if it is shown again before it tells that it was closed", async () => {
    await show(false);
    expect(dialog.open).toBe(false);
    await show(true);
    dialog.dispatchEvent(new Event("close"));
    expect(dialog.open).toBe(true);
    expect(closed).not.toHaveBeenCalled();
  });

  it("changes the state at Escape, and closes by that", () => {
    const escape = new Event("cancel", { cancelable: true });
    dialog.dispatchEvent(escape);
    expect(escape.defaultPrevented).toBe(true);
    expect(closed).toHaveBeenCalledOnce();
  });

  it("tells if the browser closed it", () => {
    dialog.removeAttribute("open");
    dialog.dispatchEvent(new Event("close"));
    expect(closed).toHaveBeenCalledOnce();
  });
});
