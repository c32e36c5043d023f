// SPDX-License-Identifier: Apache-2.0

// Which rows of a long list are drawn. A row that was not drawn yet is taken to be as high as the last one of
// its sort that was: then nothing moves when it is drawn.

import { signal, useComputed, useSignal, type ReadonlySignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import type { RefObject } from "preact";

/** Pixels that are drawn beyond both edges, so that scrolling shows no gaps. */
const margin = 400;

/** Where each row begins, and where the last one ends, with a gap after each. */
export function offsets(heights: readonly number[], gap = 0): number[] {
  const found = [0];
  let sum = 0;
  for (const height of heights) found.push((sum += height + gap));
  return found;
}

/** The first and the one after the last row between two positions. */
export function range(starts: readonly number[], top: number, bottom: number): [number, number] {
  const rows = starts.length - 1;
  let low = 0;
  let high = rows;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((starts[middle + 1] ?? 0) <= top) low = middle + 1;
    else high = middle;
  }
  let end = low;
  while (end < rows && (starts[end] ?? 0) < bottom) end++;
  return [low, end];
}

const view = signal({ top: 0, height: 800 });
let users = 0;
let frame = 0;

function look(): void {
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    const next = { top: window.scrollY, height: window.innerHeight };
    if (next.top !== view.peek().top || next.height !== view.peek().height) view.value = next;
  });
}

interface Virtual {
  container: RefObject<HTMLDivElement | null>;
  /** Rows to draw, by their position. */
  rows: ReadonlySignal<number[]>;
  starts: ReadonlySignal<number[]>;
  /** Tells the height of a row that is drawn. */
  measure: (key: string, element: HTMLElement | null) => void;
}

interface Rows {
  keys: ReadonlySignal<readonly string[]>;
  /** The row that has the focus: it is drawn wherever it is. */
  focused: ReadonlySignal<string | undefined>;
  /** Rows of one sort are mostly of one height. */
  sortOf: (key: string) => string;
  /** The height of the first row of a sort, in pixels. */
  estimate: (sort: string) => number;
}

/** Draws the rows that are seen, and the one that has the focus. */
export function useVirtual({ keys, focused, sortOf, estimate }: Rows): Virtual {
  const container = useRef<HTMLDivElement>(null);
  const above = useSignal(0);
  const gap = useSignal(0);
  const measured = useSignal<ReadonlyMap<string, number>>(new Map());
  const usual = useRef(new Map<string, number>());
  const watched = useRef(new Map<string, Element>());
  const observer = useMemo(
    () =>
      new ResizeObserver((entries) => {
        const next = new Map(measured.peek());
        for (const entry of entries) {
          const key = entry.target.getAttribute("data-key");
          // Rows begin at whole pixels: in Firefox one that does not covers the line below the one before it.
          const height = Math.ceil(entry.borderBoxSize[0]?.blockSize ?? 0);
          if (!key || height === 0) continue;
          next.set(key, height);
          usual.current.set(sortOf(key), height);
        }
        measured.value = next;
      }),
    [],
  );
  useEffect(() => {
    const place = () => {
      // What the style says for this width, as it cannot be a margin of rows that have their place by numbers.
      gap.value = container.current ? Number.parseFloat(getComputedStyle(container.current).getPropertyValue("--gap")) || 0 : 0;
      above.value = (container.current?.getBoundingClientRect().top ?? 0) + window.scrollY;
      look();
    };
    if (users++ === 0) window.addEventListener("scroll", look, { passive: true });
    window.addEventListener("resize", place);
    const resized = new ResizeObserver(place);
    if (container.current?.parentElement) resized.observe(container.current.parentElement);
    place();
    return () => {
      if (--users === 0) window.removeEventListener("scroll", look);
      window.removeEventListener("resize", place);
      resized.disconnect();
      observer.disconnect();
    };
  }, []);
  const heightOf = (key: string) => measured.value.get(key) ?? usual.current.get(sortOf(key)) ?? estimate(sortOf(key));
  const before = useRef<number[]>([0]);
  const starts = useComputed(() => {
    const next = offsets(keys.value.map(heightOf), gap.value);
    const last = before.current;
    if (next.length !== last.length || next.some((start, i) => start !== last[i])) before.current = next;
    return before.current;
  });
  const drawn = useRef<number[]>([]);
  const rows = useComputed(() => {
    const top = view.value.top - above.value;
    const [from, to] = range(starts.value, top - margin, top + view.value.height + margin);
    const found = Array.from({ length: to - from }, (_, i) => from + i);
    const extra = focused.value === undefined ? -1 : keys.value.indexOf(focused.value);
    if (extra >= 0 && (extra < from || extra >= to)) found.push(extra);
    if (found.length !== drawn.current.length || found.some((row, i) => row !== drawn.current[i])) drawn.current = found;
    return drawn.current;
  });
  const measure = (key: string, element: HTMLElement | null) => {
    const before = watched.current.get(key);
    if (before === element) return;
    if (before) observer.unobserve(before);
    watched.current.delete(key);
    if (!element) return;
    watched.current.set(key, element);
    observer.observe(element);
  };
  return { container, rows, starts, measure };
}
