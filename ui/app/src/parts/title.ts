// SPDX-License-Identifier: Apache-2.0

import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";

/** The name of the screen, which a screen reader says when the focus comes to it. */
export const screenTitle = signal("");

/** Names the screen, and the page in the browser's tab. */
export function useTitle(title: string): void {
  useEffect(() => {
    screenTitle.value = title;
    document.title = title ? `${title} · Sluice` : "Sluice";
  }, [title]);
}
