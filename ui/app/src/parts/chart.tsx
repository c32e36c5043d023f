// SPDX-License-Identifier: Apache-2.0

import { useEffect, useRef } from "preact/hooks";
import type uPlot from "uplot";
import { figure } from "../words";
import type { Limits, Series } from "./series";

/** Colours of the theme, which the canvas cannot take from CSS by itself. */
function colour(element: Element, name: string): string {
  return getComputedStyle(element).getPropertyValue(name).trim();
}

interface ChartProps {
  /** What is drawn, in words for those who do not see it. */
  label: string;
  series: Series;
  limits?: Limits;
  /** Values stay until the next one: a weight, not a measurement. */
  steps?: boolean;
  /** The scale's ends, if they are known. */
  scale?: [number, number];
  unit?: string;
  height?: number;
}

/** A curve over time, with its limits. The numbers stand in a table beside it. */
export function Chart(props: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const latest = useRef(props);
  latest.current = props;
  const drawn = useRef<uPlot>(undefined);
  const data = JSON.stringify([props.series, props.limits]);
  useEffect(() => drawn.current?.setData(dataOf(latest.current.series)), [data]);
  useEffect(() => {
    let gone = false;
    let width = 0;
    const draw = async () => {
      const { default: Plot } = await import("uplot");
      await import("uplot/dist/uPlot.min.css");
      const element = place.current;
      if (gone || !element) return;
      drawn.current?.destroy();
      width = element.clientWidth;
      drawn.current = new Plot(optionsOf(Plot, () => latest.current, element), dataOf(latest.current.series), element);
    };
    const resized = new ResizeObserver(() => {
      const now = place.current?.clientWidth ?? 0;
      if (now > 0 && now !== width) drawn.current?.setSize({ width: (width = now), height: latest.current.height ?? 150 });
    });
    const again = () => void draw();
    // The theme is an attribute of the page, or the system's.
    const themed = new MutationObserver(again);
    themed.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    dark.addEventListener("change", again);
    if (place.current) resized.observe(place.current);
    again();
    return () => {
      gone = true;
      resized.disconnect();
      themed.disconnect();
      dark.removeEventListener("change", again);
      drawn.current?.destroy();
      drawn.current = undefined;
    };
  }, []);
  return <div ref={place} class="chart" role="img" aria-label={props.label} />;
}

function dataOf(series: Series): uPlot.AlignedData {
  return [series.times, series.values];
}

function optionsOf(Plot: typeof uPlot, latest: () => ChartProps, element: HTMLElement): uPlot.Options {
  const props = latest();
  const ink = colour(element, "--dim");
  const line = colour(element, "--line");
  const accent = colour(element, "--accent");
  const bad = colour(element, "--bad");
  const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { show: false }, font: "11px ui-sans-serif, system-ui, sans-serif" };
  const stepped = props.steps ? Plot.paths.stepped?.({ align: 1 }) : undefined;
  const unit = props.unit ?? "";
  return {
    width: element.clientWidth,
    height: props.height ?? 150,
    cursor: { y: false, points: { size: 6 } },
    legend: { show: false },
    padding: [10, 26, 0, 0], // half of the last time on the axis is to the right of the curve
    axes: [
      { ...axis, size: 30, gap: 8, space: 64, incrs: steps, values: (_, ticks, __, ___, step) => ticks.map((tick) => clockOf(tick, step < 60)) },
      { ...axis, size: 60, values: (_, ticks) => ticks.map((tick) => figure(tick) + unit) },
    ],
    scales: { x: { time: true, range: (_, min, max) => (min === max ? [min - 60, max + 60] : [min, max]) }, y: { range: (_, min, max) => scaleOf(latest(), min, max) } },
    series: [
      {},
      {
        stroke: accent,
        width: 2,
        fill: props.steps ? accent + "22" : "transparent",
        points: { show: !props.steps, size: 5, fill: accent },
        ...(stepped && { paths: stepped }),
      },
    ],
    hooks: { draw: [(plot) => drawLimits(plot, latest().limits ?? {}, bad), (plot) => drawFailures(plot, latest().series, bad)] },
  };
}

/** Seconds between two times on the axis. */
const steps = [1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400];

function clockOf(time: number, seconds: boolean): string {
  const at = new Date(time * 1000);
  const clock = [at.getHours(), at.getMinutes(), ...(seconds ? [at.getSeconds()] : [])];
  return clock.map((n) => String(n).padStart(2, "0")).join(":");
}

function scaleOf(props: ChartProps, min: number, max: number): [number, number] {
  if (props.scale) return props.scale;
  const all = [min, max, props.limits?.min, props.limits?.max].filter((v) => v !== undefined && v !== null && Number.isFinite(v)) as number[];
  const low = Math.min(...all);
  const high = Math.max(...all);
  const room = (high - low || Math.abs(high) || 1) * 0.12;
  return [low - room, high + room];
}

/** A dashed line at each limit, and a shade where values are bad. */
function drawLimits(plot: uPlot, limits: Limits, bad: string): void {
  const { left, top, width, height } = plot.bbox;
  const c = plot.ctx;
  c.save();
  for (const [limit, below] of [
    [limits.min, true],
    [limits.max, false],
  ] as const) {
    if (limit === undefined) continue;
    const y = Math.round(plot.valToPos(limit, "y", true));
    c.globalAlpha = 0.1;
    c.fillStyle = bad;
    if (below) c.fillRect(left, y, width, Math.max(0, top + height - y));
    else c.fillRect(left, top, width, Math.max(0, y - top));
    c.globalAlpha = 1;
    c.strokeStyle = bad;
    c.setLineDash([5, 4]);
    c.beginPath();
    c.moveTo(left, y);
    c.lineTo(left + width, y);
    c.stroke();
  }
  c.restore();
}

/** A cross at each measurement that failed. */
function drawFailures(plot: uPlot, series: Series, bad: string): void {
  const c = plot.ctx;
  c.save();
  c.strokeStyle = bad;
  c.lineWidth = 2 * devicePixelRatio;
  const arm = 4 * devicePixelRatio;
  series.failed?.forEach((failed, i) => {
    const value = series.values[i];
    const at = series.times[i];
    if (!failed || value === null || value === undefined || at === undefined) return;
    const x = plot.valToPos(at, "x", true);
    const y = plot.valToPos(value, "y", true);
    c.beginPath();
    c.moveTo(x - arm, y - arm);
    c.lineTo(x + arm, y + arm);
    c.moveTo(x + arm, y - arm);
    c.lineTo(x - arm, y + arm);
    c.stroke();
  });
  c.restore();
}
