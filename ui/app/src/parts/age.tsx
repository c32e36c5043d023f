// SPDX-License-Identifier: Apache-2.0

import { computed, useComputed, useSignal } from "@preact/signals";
import { now, useCountdown } from "../clock";
import { age, left, moment } from "../words";

/** How long ago something was: 2 min, 2 min ago, or, of what lasts, for 2 min. Only the text is drawn again, and only when it changes. */
export function Age(props: { since: string | undefined; ago?: boolean; lasts?: boolean }) {
  const since = useSignal(props.since);
  since.value = props.since;
  const { ago, lasts } = props;
  const text = useComputed(() => {
    const found = age(since.value, now.value);
    if (lasts && found) return found === "now" ? "since just now" : `for ${found}`;
    return ago && found && found !== "now" ? found + " ago" : found;
  });
  if (!props.since) return null;
  return (
    <time dateTime={props.since} title={moment(props.since, 0)}>
      {text}
    </time>
  );
}

/** The day that it is, as its first millisecond: it changes at midnight only. */
const today = computed(() => new Date(now.value).setHours(0, 0, 0, 0));

/** A time of day, with the date unless it is today's, and always in its title. */
export function Moment(props: { at: string | undefined }) {
  const at = useSignal(props.at);
  at.value = props.at;
  const text = useComputed(() => moment(at.value ?? "", today.value));
  if (!props.at) return null;
  return (
    <time dateTime={props.at} title={moment(props.at, 0)}>
      {text}
    </time>
  );
}

/** A clock that runs down to a time, with a bar if it is known when it began. */
export function Countdown(props: { since?: string | undefined; until: string }) {
  const end = Date.parse(props.until);
  const begin = props.since ? Date.parse(props.since) : NaN;
  const running = end > now.peek();
  useCountdown(running);
  const part = Math.min(1, Math.max(0, (now.value - begin) / (end - begin)));
  return (
    <span class="countdown">
      <time dateTime={props.until} title={moment(props.until, 0)}>
        {left(props.until, now.value)}
      </time>
      {!Number.isNaN(part) && (
        <svg class="bar" width="100%" height="4" aria-hidden="true">
          <rect width="100%" height="4" rx="2" class="bar-track" />
          <rect width={`${part * 100}%`} height="4" rx="2" class="bar-done" />
        </svg>
      )}
    </span>
  );
}
