// SPDX-License-Identifier: Apache-2.0

import type { RefObject } from "preact";

/**
 * The handlers of a dialog that is open while some state says so: closed is called when people close it. Escape
 * closes a dialog at once, and tells of it a moment later, when it may have been opened again: so the state
 * changes first, and what is told of a dialog that is open is of the time before.
 */
export function closing(dialog: RefObject<HTMLDialogElement | null>, closed: () => void) {
  return {
    onCancel: (event: Event) => {
      event.preventDefault();
      closed();
    },
    onClose: () => {
      if (!dialog.current?.open) closed();
    },
  };
}
