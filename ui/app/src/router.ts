// SPDX-License-Identifier: Apache-2.0

// Addresses of screens: /canary/apps/podinfo. The server answers all of them with the page.

import { computed, signal } from "@preact/signals";

const here = () => window.location.pathname + window.location.search;

/** Path and query of the page. */
export const address = signal(here());

/** The parts of the path, unescaped, and the query. */
export const route = computed(() => {
  const url = new URL(address.value, "http://page");
  return { parts: url.pathname.split("/").filter(Boolean).map(unescape), query: url.searchParams };
});

function unescape(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Goes to an address of the page. */
export function go(to: string): void {
  if (to === address.peek()) return;
  history.pushState(null, "", to);
  address.value = here();
  window.scrollTo(0, 0);
}

/** Changes the query without a step in the history. */
export function replace(to: string): void {
  history.replaceState(history.state, "", to);
  address.value = here();
}

/** Changes parts of the query, without a step in the history: what was chosen on a screen is in its address. */
export function setQuery(changes: Record<string, string>): void {
  const next = new URLSearchParams(route.peek().query);
  for (const [name, value] of Object.entries(changes)) {
    if (value) next.set(name, value);
    else next.delete(name);
  }
  replace(new URL(address.peek(), "http://page").pathname + (next.size > 0 ? `?${next}` : ""));
}

/** Follows links and the browser's buttons without loading the page again. */
export function startRouter(): void {
  window.addEventListener("popstate", () => (address.value = here()));
  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest("a[href]") : null;
    if (!(link instanceof HTMLAnchorElement) || event.defaultPrevented || event.button !== 0) return;
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || link.target || link.hasAttribute("download")) return;
    if (link.origin !== window.location.origin) return;
    if (link.hash && link.pathname + link.search === here()) return; // to a place on this screen
    event.preventDefault();
    go(link.pathname + link.search);
  });
}
