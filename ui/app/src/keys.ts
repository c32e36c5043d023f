// SPDX-License-Identifier: Apache-2.0

// The keys of the whole page. Those of a list belong to the list.

import { letters } from "./letters";
import { openPalette } from "./parts/palette";
import { showShortcuts } from "./parts/shortcuts";
import { go } from "./router";
import { nextTheme } from "./theme";

/** How long a chord may take, in milliseconds. */
const chordTime = 1_500;

/** Where g and another key go. */
export const chords: Record<string, { to: string; name: string }> = {
  r: { to: "/", name: "Releases" },
  v: { to: "/versions", name: "Versions" },
  o: { to: "/objects", name: "Objects" },
  t: { to: "/timeline", name: "Timeline" },
};

/** Tells whether keys belong to a field. */
export function isTyping(target: EventTarget | null): boolean {
  return target instanceof Element && target.closest("input, textarea, select, [contenteditable], dialog[open]") !== null;
}

/** Tells whether an event is a single key for the page: no combination, not for a field, not taken yet, and not switched off. */
export function isSingle(event: KeyboardEvent): boolean {
  return letters.value && !event.ctrlKey && !event.metaKey && !event.altKey && !event.defaultPrevented && !isTyping(event.target);
}

export function startKeys(): void {
  let began = -Infinity;
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === "k") {
      event.preventDefault();
      openPalette();
      return;
    }
    if (!isSingle(event)) return;
    const chord = event.timeStamp - began < chordTime ? chords[event.key] : undefined;
    began = -Infinity;
    if (chord) {
      event.preventDefault();
      go(chord.to);
    } else if (event.key === "g") began = event.timeStamp;
    else if (event.key === "?") showShortcuts();
    else if (event.key === "T") nextTheme();
    else if (event.key === "/") {
      const search = document.querySelector<HTMLInputElement>("input[type=search]");
      if (!search) return openPalette();
      event.preventDefault();
      search.focus();
    }
  });
}
