// SPDX-License-Identifier: Apache-2.0

import { signal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";

const key = "sluice.theme";

function stored(): Theme {
  try {
    const found = localStorage.getItem(key);
    return found === "light" || found === "dark" ? found : "system";
  } catch {
    return "system";
  }
}

/** What a person chose: the system's own, unless they did. */
export const theme = signal<Theme>(stored());

function show(): void {
  if (theme.value === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme.value;
}

/** Goes from the system's theme to light, to dark, and back. */
export function nextTheme(): void {
  theme.value = theme.value === "system" ? "light" : theme.value === "light" ? "dark" : "system";
  try {
    localStorage.setItem(key, theme.value);
  } catch {
    // Then it is forgotten with the page.
  }
  show();
}

show();
