// SPDX-License-Identifier: Apache-2.0

// The time that ages are counted from. It stands still while nobody looks at the page.

import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";

/** Milliseconds between two times, while nothing counts down, and while something does. */
const interval = 10_000;
const countdownInterval = 1_000;

/** Milliseconds; moves every ten seconds, or every second while something counts down. */
export const now = signal(Date.now());

let counters = 0;
let timer: ReturnType<typeof setInterval> | undefined;

function restart(): void {
  clearInterval(timer);
  timer = undefined;
  if (document.hidden) return;
  now.value = Date.now();
  timer = setInterval(() => (now.value = Date.now()), counters > 0 ? countdownInterval : interval);
}

export function startClock(): void {
  document.addEventListener("visibilitychange", restart);
  restart();
}

/** Lets the clock move every second while the component is there. */
export function useCountdown(active: boolean): void {
  useEffect(() => {
    if (!active) return;
    if (++counters === 1) restart();
    return () => {
      if (--counters === 0) restart();
    };
  }, [active]);
}
