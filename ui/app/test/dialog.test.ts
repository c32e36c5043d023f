// SPDX-License-Identifier: Apache-2.0

import { describe, expect, it, vi } from "vitest";
import { closing } from "../src/parts/dialog";

describe("a dialog that people close", () => {
  const event = () => ({ preventDefault: vi.fn() }) as unknown as Event & { preventDefault: ReturnType<typeof vi.fn> };
  const handlers = (open: boolean) => {
    const closed = vi.fn();
    return { closed, ...closing({ current: { open } as HTMLDialogElement }, closed) };
  };

  it("changes the state before it closes", () => {
    const { closed, onCancel } = handlers(true);
    const cancel = event();
    onCancel(cancel);
    expect(closed).toHaveBeenCalledOnce();
    expect(cancel.preventDefault).toHaveBeenCalledOnce();
  });

  it("stays open if it was opened again before it was told of", () => {
    const { closed, onClose } = handlers(true);
    onClose();
    expect(closed).not.toHaveBeenCalled();
  });

  it("is closed when it is told of", () => {
    const { closed, onClose } = handlers(false);
    onClose();
    expect(closed).toHaveBeenCalledOnce();
  });
});
