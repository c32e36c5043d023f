// SPDX-License-Identifier: Apache-2.0

import type { RefObject } from "preact";
import { useEffect, useRef } from "preact/hooks";

/**
 * A modal dialog that is open while shown is true; closed is called when people close it. The properties go to the
 * dialog element.
 *
 * A dialog tells of its end a moment later, when it may be shown again: so Escape changes the state first, and what is
 * told of an end that the state asked for is no news.
 */
export function useDialog(shown: boolean, closed: () => void) {
  const ref: RefObject<HTMLDialogElement | null> = useRef<HTMLDialogElement>(null);
  const asked = useRef(0);
  useEffect(() => {
    const dialog = ref.current;
    if (!dialog || dialog.open === shown) return;
    if (shown) {
      dialog.showModal();
      return;
    }
    asked.current++;
    dialog.close();
  }, [shown]);
  const onCancel = (event: Event) => {
    event.preventDefault();
    closed();
  };
  const onClose = () => {
    if (asked.current > 0) asked.current--;
    else closed();
  };
  return { ref, onCancel, onClose };
}
