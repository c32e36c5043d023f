// SPDX-License-Identifier: Apache-2.0

import { authorization } from "./token";
import type { Action } from "./types";

/** An answer that says no, in the words of the server. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
    /** Where to sign in, if that helps. */
    readonly login?: string,
  ) {
    super(message);
  }
}

/** Tells whether the same question may have another answer in a moment: without a connection, or when the server has trouble or is asked too much. */
export function mayPass(err: unknown): boolean {
  return !(err instanceof Refused) || err.status === 429 || err.status >= 500;
}

/** A list as the server sends it. */
export interface List<T> {
  items: T[];
}

/** Reads JSON of the API. Throws Refused, or what fetch throws without a connection. */
export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  const answer = await fetch(path, { headers: { Accept: "application/json", ...authorization() }, ...(signal && { signal }) });
  if (!answer.ok) throw await refusal(answer);
  return (await answer.json()) as T;
}

/** Gives a command. The header shows that the request comes from a page of this origin. */
export async function act(action: Action): Promise<void> {
  const answer = await fetch("/api/v1/actions", {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Sluice-Request": "1", ...authorization() },
    body: JSON.stringify(action),
  });
  if (!answer.ok) throw await refusal(answer);
}

/** The address of something with a namespace and a name, which are escaped. */
export function path(...parts: string[]): string {
  return "/" + parts.map(encodeURIComponent).join("/");
}

async function refusal(answer: Response): Promise<Refused> {
  const text = await answer.text();
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body === "object" && body !== null && "error" in body && typeof body.error === "string") {
      return new Refused(answer.status, body.error, "login" in body && typeof body.login === "string" ? body.login : undefined);
    }
  } catch {
    // It is text then, as a proxy sends it.
  }
  return new Refused(answer.status, text.startsWith("<") || text === "" ? `${answer.status} ${answer.statusText}` : text);
}
