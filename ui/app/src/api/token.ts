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

/**
 * Keeps the token of the printed address, which stands behind its #, where no request brings it. The server is asked first whether it is its
 * own: anybody can make such an address.
 */
export async function takeToken(): Promise<void> {
  if (location.pathname !== "/login") return;
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  replace("/");
  if (token === null || (await isRejected(token))) return;
  kept = token;
  try {
    localStorage.setItem(key, token);
  } catch {
    // Then it is forgotten with the tab.
  }
}

/** Reports whether the server says that a token is not its own. */
async function isRejected(token: string): Promise<boolean> {
  try {
    const answer = await fetch("/api/v1/session", { headers: { Authorization: `Bearer ${token}` } });
    return answer.status === 401;
  } catch {
    return false; // without a connection, nobody knows
  }
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

/** Reports whether there is a token. */
export function hasToken(): boolean {
  return stored() !== undefined;
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
