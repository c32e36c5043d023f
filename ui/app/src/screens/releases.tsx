// SPDX-License-Identifier: Apache-2.0

import { computed, signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { store } from "../api/lanes";
import type { CellState, Lane } from "../api/types";
import { isSingle } from "../keys";
import { letters } from "../letters";
import { Commands, commandLine, scopeFlags } from "../parts/command";
import { LaneRow, estimate, sortOf } from "../parts/lane";
import { Mark } from "../parts/mark";
import { Missing } from "../parts/status";
import { useTitle } from "../parts/title";
import { useVirtual } from "../parts/virtual";
import { route, setQuery } from "../router";
import { columnWords, count } from "../words";

type Group = "failed" | "waiting" | "moving" | "unknown" | "ready";

const groups: { group: Group; mark: CellState; say: (n: number) => string }[] = [
  { group: "failed", mark: "failed", say: (n) => `${n} failed` },
  { group: "waiting", mark: "waiting", say: (n) => `${n} waiting` },
  { group: "moving", mark: "moving", say: (n) => `${n} moving` },
  { group: "unknown", mark: "unknown", say: (n) => `${n} suspended or not known` },
  { group: "ready", mark: "ready", say: (n) => `${n} at rest` },
];

/** The group that a lane is counted in. */
export function groupOf(state: CellState): Group {
  if (state === "suspended") return "unknown";
  return state === "ready" || state === "none" ? "ready" : state;
}

/** Tells whether every word is in a lane: its names, its values, its state or what it says. */
export function matches(lane: Lane, text: string): boolean {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return true;
  const all = [lane.namespace, lane.name, lane.state, lane.column ?? ""];
  for (const cell of lane.cells) all.push(cell.value ?? "", cell.full ?? "", cell.message ?? "", cell.object?.name ?? "");
  for (const stage of lane.stages) all.push(stage.pipeline, stage.name, stage.has ?? "", stage.wants ?? "");
  const searched = all.join("\n").toLowerCase();
  return words.every((word) => searched.includes(word));
}

const query = computed(() => (route.value.parts.length === 0 ? (route.value.query.get("q") ?? "") : ""));
/** The group that is shown alone; one of the address that is none shows all. */
const only = computed(() => groups.find(({ group }) => group === route.value.query.get("state"))?.group ?? "");

const found = computed(() => {
  const lanes = store.all();
  return query.value ? lanes.filter((lane) => matches(lane, query.value)) : lanes;
});
const counts = computed(() => {
  const n: Record<Group, number> = { failed: 0, waiting: 0, moving: 0, unknown: 0, ready: 0 };
  for (const lane of found.value) n[groupOf(lane.state)]++;
  return n;
});
const keys = computed(() => found.value.filter((lane) => !only.value || groupOf(lane.state) === only.value).map((lane) => lane.key));

/** The cell that has the focus, or gets it by the tabulator: a lane and a position in it. */
const focused = signal<{ key: string; cell: number } | undefined>(undefined);
const focusedKey = computed(() => focused.value?.key);

/** The home screen: a lane for every application. */
export function Releases() {
  useTitle(counts.value.failed > 0 ? `(${counts.value.failed}) Releases` : "Releases");
  return (
    <div class="releases">
      <h1 class="off-screen">Releases</h1>
      <Filters />
      <Missing />
      {!store.loaded.value ? (
        <p class="empty dim" role="status">
          Waiting for the first look at the cluster…
        </p>
      ) : store.keys.value.length === 0 ? (
        <Teaching />
      ) : keys.value.length === 0 ? (
        <div class="empty">
          <h2>No application is like that</h2>
          <p>
            <button type="button" class="action" onClick={() => setQuery({ q: "", state: "" })}>
              Show all {count(store.keys.value.length, "application")}
            </button>
          </p>
        </div>
      ) : (
        <Grid />
      )}
      <Commands lines={["images", "canaries", "pipelines"].map((kind) => commandLine("sluice", "get", kind, ...scopeFlags()))} />
    </div>
  );
}

function Filters() {
  return (
    <div class="filters">
      <div role="group" aria-label="Only applications that are" class="chips">
        {groups.map(({ group, mark, say }) => (
          <button
            key={group}
            type="button"
            class={`chip is-${mark}`}
            aria-pressed={only.value === group}
            disabled={counts.value[group] === 0 && only.value !== group}
            onClick={() => setQuery({ state: only.value === group ? "" : group })}
          >
            <Mark state={mark} silent />
            {say(counts.value[group])}
          </button>
        ))}
      </div>
      <input
        type="search"
        placeholder="Search: name, namespace, tag, commit"
        aria-label="Search applications"
        value={query.value}
        onInput={(event) => setQuery({ q: event.currentTarget.value })}
        onKeyDown={(event) => {
          if (event.key === "Escape") setQuery({ q: "" });
          else if (event.key !== "ArrowDown" && event.key !== "Enter") return;
          event.preventDefault();
          move(0, "first");
        }}
      />
    </div>
  );
}

/** Moves the focus by rows, or to an end, and keeps the column. */
function move(by: number, to?: "first" | "last"): void {
  const all = keys.peek();
  const now = focused.peek();
  const from = now ? all.indexOf(now.key) : -1;
  const next = to === "first" ? 0 : to === "last" ? all.length - 1 : Math.min(all.length - 1, Math.max(0, from + by));
  const key = all[next];
  if (key !== undefined) focusCell(key, now?.cell ?? 0);
}

/** Gives a cell the focus: at once, since the next key is pressed from there, or when its row is drawn. */
function focusCell(key: string, cell: number): void {
  focused.value = { key, cell };
  if (!focusDrawn()) requestAnimationFrame(focusDrawn);
}

function rowOf(key: string): Element | null {
  return document.querySelector(`[data-key="${CSS.escape(key)}"]`);
}

/** Gives the focus to the cell that is to have it, or to the one nearest to it that is displayed, if its row is drawn. */
function focusDrawn(): boolean {
  const wanted = focused.peek();
  const row = wanted && rowOf(wanted.key);
  if (!wanted || !row) return false;
  const [nearest] = displayed(row).sort((a, b) => Math.abs(a.at - wanted.cell) - Math.abs(b.at - wanted.cell));
  nearest?.element.focus({ preventScroll: true });
  row.scrollIntoView({ block: "nearest" });
  return true;
}

/** The cells of a row with their positions. One that a narrow window or the row does not show cannot have the focus. */
function displayed(row: Element | null | undefined): { element: HTMLElement; at: number }[] {
  const all = [...(row?.querySelectorAll<HTMLElement>("[data-cell]") ?? [])].map((element, at) => ({ element, at }));
  return all.filter(({ element }) => element.getClientRects().length > 0);
}

function onKeyDown(event: KeyboardEvent): void {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const now = focused.peek();
  const cells = displayed(document.activeElement?.closest("[data-key]"));
  const sideways = (by: number) => {
    if (now && !rowOf(now.key)) return focusCell(now.key, Math.max(0, now.cell + by)); // of a row that is still to be drawn
    const inCell = cells.findIndex(({ element }) => element === document.activeElement);
    const from = inCell >= 0 ? inCell : cells.findIndex(({ at }) => at === now?.cell); // from a command of the row, to beside the cell that had the focus last
    const next = cells[from + by];
    if (now && next) focusCell(now.key, next.at);
  };
  if (event.key === "ArrowRight" || (letters.value && event.key === "l")) sideways(1);
  else if (event.key === "ArrowLeft" || (letters.value && event.key === "h")) sideways(-1);
  else if (event.key === "ArrowDown") move(1);
  else if (event.key === "ArrowUp") move(-1);
  else if (event.key === "PageDown") move(10);
  else if (event.key === "PageUp") move(-10);
  else if (event.key === "Home") move(0, "first");
  else if (event.key === "End") move(0, "last");
  else return;
  event.preventDefault();
}

function Grid() {
  const { container, rows, starts, measure } = useVirtual({ keys, focused: focusedKey, sortOf: (key) => sortOf(store.lanes.get(key)?.peek()), estimate });
  useEffect(() => {
    const anywhere = (event: KeyboardEvent) => {
      if (!isSingle(event)) return;
      if (event.key === "j") move(1);
      else if (event.key === "k") move(-1);
      else return;
      event.preventDefault();
    };
    document.addEventListener("keydown", anywhere);
    return () => document.removeEventListener("keydown", anywhere);
  }, []);
  const tabbed = focused.value && keys.value.includes(focused.value.key) ? focused.value : { key: keys.value[0] ?? "", cell: 0 };
  return (
    <div role="grid" aria-label="Releases" aria-rowcount={keys.value.length + 1} aria-colcount={9} class="lanes" onKeyDown={onKeyDown}>
      <div role="row" aria-rowindex={1} class="lane head">
        <span role="columnheader" aria-colindex={1}>
          Application
        </span>
        {Object.values(columnWords).map((word, i) => (
          <span role="columnheader" key={word} aria-colindex={i + 2}>
            {word}
          </span>
        ))}
        <span role="columnheader" aria-colindex={9} class="off-screen">
          What to do
        </span>
      </div>
      <div role="rowgroup" class="rows" ref={container} style={{ height: `${starts.value.at(-1) ?? 0}px` }}>
        {rows.value.map((i) => {
          const key = keys.value[i];
          const lane = key === undefined ? undefined : store.lanes.get(key);
          return (
            key !== undefined &&
            lane && (
              <LaneRow
                key={key}
                lane={lane}
                index={i}
                top={starts.value[i] ?? 0}
                tabbed={tabbed.key === key ? tabbed.cell : -1}
                measure={measure}
                onFocus={(cell) => (focused.value = { key, cell })}
              />
            )
          );
        })}
      </div>
    </div>
  );
}

/** What to do where nothing is yet. */
function Teaching() {
  return (
    <div class="empty teach">
      <h2>No application yet</h2>
      <p>A lane begins with any of these, and grows as the others come:</p>
      <dl>
        <dt>ImageRepository and ImagePolicy</dt>
        <dd>watch a registry, and choose a tag</dd>
        <dt>ImageUpdateAutomation</dt>
        <dd>commits the tag to Git, where a marker names the policy</dd>
        <dt>GitRepository and Kustomization</dt>
        <dd>fetch the commit, and apply it</dd>
        <dt>Canary</dt>
        <dd>gives users the new version step by step, and measures</dd>
        <dt>Pipeline</dt>
        <dd>carries a version from stage to stage</dd>
      </dl>
      <p>Apply one with kubectl, and its lane appears here by itself. Kinds that you may not list are named above.</p>
    </div>
  );
}
