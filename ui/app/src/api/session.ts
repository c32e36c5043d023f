// SPDX-License-Identifier: Apache-2.0

import { computed, signal } from "@preact/signals";
import { get, mayPass, Refused } from "./client";
import { forgetToken, hasToken } from "./token";
import type { Session } from "./types";

/** Who looks; undefined before the answer. */
export const session = signal<Session | undefined>(undefined);
/** Why there is no session. */
export const sessionError = signal<string | undefined>(undefined);
/** Nothing can be changed from here, or it is not known yet. */
export const readOnly = computed(() => session.value?.readOnly ?? true);

/** How long after a question that may have another answer it is asked again, in milliseconds. */
const again = 2_000;

export async function readSession(): Promise<void> {
  const withToken = hasToken();
  try {
    session.value = await get<Session>("/api/v1/session");
    sessionError.value = undefined;
  } catch (err) {
    if (err instanceof Refused && err.login !== undefined) {
      // The token of another process comes before the cookie of a session: all is read again without it.
      if (withToken) forgetToken();
      if (withToken && !hasToken()) location.reload();
      else location.assign(loginAddress(err.login));
      return;
    }
    sessionError.value = err instanceof Error ? err.message : String(err);
    if (mayPass(err)) setTimeout(() => void readSession(), again);
  }
}

/** Where to sign in, and to come back from to what is shown now. */
export function loginAddress(login: string): string {
  return `${login}?to=${encodeURIComponent(location.pathname + location.search)}`;
}
