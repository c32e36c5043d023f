// SPDX-License-Identifier: Apache-2.0

// The token of `sluice ui`. Storage belongs to a host and its port, so that no other server of the machine is given it, as it
// would be given a cookie.

import { replace } from "../router";

const key = "sluice.token";
/** Where storage is forbidden, a tab keeps it to itself. */
let kept: string | undefined;

function stored(): string | undefined {
  try {
    return localStorage.getItem(key) ?? kept;
  } catch {
    return kept;
  }
}

/** Keeps the token of the printed address, which the server has seen to be its own: it gives the page at this path to nobody else. */
export function takeToken(): void {
  if (location.pathname !== "/login") return;
  kept = new URLSearchParams(location.search).get("token") ?? undefined;
  try {
    if (kept !== undefined) localStorage.setItem(key, kept);
  } catch {
    // Then it is forgotten with the tab.
  }
  replace("/");
}

/** Forgets the token: another server is there by now, at which people sign in. */
export function forgetToken(): void {
  kept = undefined;
  try {
    localStorage.removeItem(key);
  } catch {
    // Nothing was kept there.
  }
}

/** The headers that say who asks, where no cookie does. */
export function authorization(): Record<string, string> {
  const token = stored();
  return token === undefined ? {} : { Authorization: `Bearer ${token}` };
}

/** The address of the stream, for which a browser sends no header. */
export function streamAddress(): string {
  const token = stored();
  return "/api/v1/stream" + (token === undefined ? "" : `?token=${encodeURIComponent(token)}`);
}
