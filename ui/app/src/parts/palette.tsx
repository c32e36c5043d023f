// SPDX-License-Identifier: Apache-2.0

import { computed, signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { get } from "../api/client";
import { store } from "../api/lanes";
import type { CellState, FoundObjects, Lane, ObjectReference } from "../api/types";
import { pageOf, timelineOf } from "../links";
import { go } from "../router";
import { columnWords, stateWords } from "../words";
import { session } from "../api/session";
import { kindsOf } from "../kinds";
import { useDialog } from "./dialog";
import { Mark } from "./mark";
import { showShortcuts } from "./shortcuts";

/** A place to go to. */
export interface Place {
  title: string;
  detail: string;
  to: string;
  state?: CellState;
  /** Shows something on this screen instead of going anywhere. */
  show?: () => void;
}

const shown = 50;
/** How long nobody types before the server is asked for objects, in milliseconds. */
const quiet = 150;
const open = signal(false);
/** What the server found, and for which query. */
const objects = signal<FoundObjects & { query: string; problem?: string }>({ query: "", items: [] });
const query = signal("");
const at = signal(0);

export function openPalette(): void {
  query.value = "";
  at.value = 0;
  open.value = true;
}

const screens: Place[] = [
  { title: "Releases", detail: "screen", to: "/" },
  { title: "Versions", detail: "screen", to: "/versions" },
  { title: "Objects", detail: "screen", to: "/objects" },
  { title: "Timeline", detail: "screen", to: "/timeline" },
  { title: "Keys", detail: "list of keys, and to switch them off", to: "", show: showShortcuts },
];

const lists = () => kindsOf(session.value).map((kind) => ({ title: kind, detail: "objects of this kind", to: `/objects?kind=${kind}` }));

/** Where one can go to from a lane. */
export function placesOf(lane: Lane): Place[] {
  const places: Place[] = [{ title: lane.name, detail: `${lane.namespace} · timeline`, to: timelineOf(lane), state: lane.state }];
  for (const cell of lane.cells) {
    if (cell.object) {
      const detail = `${lane.namespace} · ${columnWords[cell.column]} · ${cell.object.kind} ${cell.object.name}`;
      places.push({ title: lane.name, detail, to: pageOf(cell.object), state: cell.state });
    }
  }
  for (const name of new Set(lane.stages.map((stage) => stage.pipeline))) {
    const namespace = lane.stages.find((stage) => stage.pipeline === name)?.namespace ?? lane.namespace;
    places.push({ title: lane.name, detail: `${namespace} · Pipeline ${name}`, to: pageOf({ kind: "Pipeline", namespace, name }) });
  }
  return places;
}

/** The places in which every word of the query occurs; those whose title begins with it come first. */
export function search(places: readonly Place[], text: string): Place[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const first: Place[] = [];
  const others: Place[] = [];
  for (const place of places) {
    const all = `${place.title} ${place.detail}`.toLowerCase();
    if (!words.every((word) => all.includes(word))) continue;
    (words[0] !== undefined && place.title.toLowerCase().startsWith(words[0]) ? first : others).push(place);
  }
  return [...first, ...others];
}

/** Places and, behind them, the objects that none of them leads to. */
export function withObjects(places: readonly Place[], found: readonly ObjectReference[]): Place[] {
  const known = new Set(places.map((place) => place.to));
  const more = found.map((object) => ({ title: object.name, detail: `${object.namespace || "of the cluster"} · ${object.kind}`, to: pageOf(object) }));
  return [...places, ...more.filter((place) => !known.has(place.to))];
}

const places = computed(() => (open.value ? [...screens, ...store.all().flatMap(placesOf), ...lists()] : []));
const all = computed(() => {
  const known = search(places.value, query.value);
  return objects.value.query === query.value ? withObjects(known, objects.value.items) : known;
});
const results = computed(() => all.value.slice(0, shown));
/** There are others beside those that are shown. How many is not known: of the objects that the server leaves out, lanes lead to some. */
const hasMore = computed(() => all.value.length > results.value.length || (objects.value.query === query.value && (objects.value.more ?? 0) > 0));

/** Asks the server for objects with these words in their names: it has those that are part of no application, too. */
function useObjects(text: string): void {
  useEffect(() => {
    if (text.trim() === "") return;
    const asking = new AbortController();
    const timer = setTimeout(() => {
      get<FoundObjects>(`/api/v1/search?q=${encodeURIComponent(text)}`, asking.signal).then(
        (found) => (objects.value = { ...found, query: text }),
        (err) => {
          if (!asking.signal.aborted) objects.value = { items: [], query: text, problem: err instanceof Error ? err.message : String(err) };
        },
      );
    }, quiet);
    return () => {
      clearTimeout(timer);
      asking.abort();
    };
  }, [text]);
}

/** Goes to any application, object or screen by its name. */
export function Palette() {
  const close = () => (open.value = false);
  const dialog = useDialog(open.value, close);
  useObjects(open.value ? query.value : "");
  const { problem } = objects.value.query === query.value ? objects.value : {};
  const choose = (place: Place | undefined) => {
    if (!place) return;
    close();
    if (place.show) place.show();
    else go(place.to);
  };
  const key = (event: KeyboardEvent) => {
    const last = results.value.length - 1;
    if (event.key === "ArrowDown") at.value = Math.min(last, at.value + 1);
    else if (event.key === "ArrowUp") at.value = Math.max(0, at.value - 1);
    else if (event.key === "Enter") choose(results.value[at.value]);
    else return;
    event.preventDefault();
    document.getElementById(`place-${at.value}`)?.scrollIntoView({ block: "nearest" });
  };
  return (
    <dialog {...dialog} class="palette" aria-label="Go to" onClick={(event) => event.target === dialog.ref.current && close()}>
      {open.value && (
        <>
          <input
            type="text"
            role="combobox"
            aria-expanded="true"
            aria-controls="places"
            aria-activedescendant={results.value.length > 0 ? `place-${at.value}` : undefined}
            aria-label="Name of an application, an object or a screen"
            placeholder="Application, object or screen"
            autofocus
            autocomplete="off"
            spellcheck={false}
            value={query.value}
            onInput={(event) => {
              query.value = event.currentTarget.value;
              at.value = 0;
            }}
            onKeyDown={key}
          />
          <ul id="places" role="listbox" aria-label="Places">
            {results.value.map((place, i) => (
              <li
                key={place.to + place.detail}
                id={`place-${i}`}
                role="option"
                aria-selected={i === at.value}
                onClick={() => choose(place)}
                onPointerMove={() => (at.value = i)}
              >
                {place.state ? <Mark state={place.state} silent /> : <span class="mark" />}
                <span class="title">{place.title}</span>
                <span class="dim">{place.detail}</span>
                {place.state && place.state !== "ready" && <span class="word">{stateWords[place.state]}</span>}
              </li>
            ))}
          </ul>
          <div role="status">
            {results.value.length === 0 && !problem && <p class="dim none">Nothing has this in its name.</p>}
            {hasMore.value && <p class="dim none">There are more places: type more of the name.</p>}
            {problem && <p class="bad none">Objects of no application are not known: {problem}</p>}
          </div>
        </>
      )}
    </dialog>
  );
}
