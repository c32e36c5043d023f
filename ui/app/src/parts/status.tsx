// SPDX-License-Identifier: Apache-2.0

import { session, sessionError } from "../api/session";
import { lostSince, stale } from "../api/stream";
import { nextTheme, theme } from "../theme";
import { Moment } from "./age";

/** Says that the page is cut off, or its server, and since when. */
export function Lost() {
  const since = lostSince.value;
  const { staleSince, why } = stale.value;
  return (
    <div role="status" aria-live="polite">
      {sessionError.value && (
        <p class="lost-banner">
          <strong>Nothing to show:</strong> {sessionError.value}
        </p>
      )}
      {since !== undefined && session.value && (
        <p class="lost-banner">
          <strong>Disconnected</strong> since <Moment at={new Date(since).toISOString()} />. What is shown is older; it goes on by itself as soon as the server
          answers.
        </p>
      )}
      {since === undefined && staleSince !== undefined && session.value && (
        <p class="lost-banner">
          <strong>Not up to date</strong> since <Moment at={staleSince} />: {why}. What is shown may be older than what the cluster has.
        </p>
      )}
    </div>
  );
}

const icons = { system: "◐", light: "☀", dark: "☾" };

/** Goes through the themes. */
export function ThemeButton() {
  return (
    <button type="button" class="theme" onClick={nextTheme} aria-label={`Theme: ${theme.value}`} title={`Theme: ${theme.value}`}>
      <span aria-hidden="true">{icons[theme.value]}</span>
    </button>
  );
}

/** Kinds that are not shown, and why. */
export function Missing() {
  const missing = session.value?.missing ?? [];
  if (missing.length === 0) return null;
  return (
    <details class="missing">
      <summary>Not all kinds can be shown ({missing.length})</summary>
      <ul>
        {missing.map((m) => (
          <li key={m.kind}>
            <strong>{m.kind}</strong>: {m.why}
          </li>
        ))}
      </ul>
    </details>
  );
}
