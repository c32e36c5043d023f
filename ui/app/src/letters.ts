// SPDX-License-Identifier: Apache-2.0

// Whether keys without Ctrl do something: to who dictates, each word is many keys.

import { signal } from "@preact/signals";

const key = "sluice.keys";

function stored(): boolean {
  try {
    return localStorage.getItem(key) !== "off";
  } catch {
    return true;
  }
}

/** Single keys, as j and T, do something: so they do unless somebody switched them off. */
export const letters = signal(stored());

/** Switches single keys on or off, also for the next visits. */
export function setLetters(on: boolean): void {
  letters.value = on;
  try {
    localStorage.setItem(key, on ? "on" : "off");
  } catch {
    // Then it is forgotten with the page.
  }
}
