// SPDX-License-Identifier: Apache-2.0

import { computed, useSignal } from "@preact/signals";
import { store } from "../api/lanes";
import type { Cell, CellState, Lane, LaneStage, ObjectReference } from "../api/types";
import { pageOf, timelineOf } from "../links";
import { Age } from "../parts/age";
import { Commands, commandLine, scopeFlags } from "../parts/command";
import { Mark } from "../parts/mark";
import { Missing } from "../parts/status";
import { useTitle } from "../parts/title";
import { route, setQuery } from "../router";
import { count } from "../words";

/** How a version stands in a place. */
export interface Standing {
  /** In a word: live, 20 %, chosen. */
  word: string;
  state: CellState;
  since?: string | undefined;
  why?: string | undefined;
  /** All users there have it. */
  live?: boolean;
}

/** Where an image runs, or a stage of a pipeline that is elsewhere. */
export interface Place {
  key: string;
  name: string;
  /** Tells places of one name apart. */
  detail?: string;
  to: string;
  /** By tag. */
  standings: Map<string, Standing>;
}

/** Which version of an image each place has. */
export interface ImageVersions {
  image: string;
  policy?: ObjectReference;
  places: Place[];
  /** Tags that are somewhere, or on their way, the newest first. */
  tags: string[];
  /** Places have different versions, or will have. */
  apart: boolean;
}

const version = /^v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-([0-9A-Za-z.-]+))?(?:\+.*)?$/;

/** Orders tags as semantic versions where both are, and else by their text and the numbers in it. */
export function compareTags(a: string, b: string): number {
  const text = (x: string, y: string) => x.localeCompare(y, "en", { numeric: true });
  const x = version.exec(a);
  const y = version.exec(b);
  if (!x || !y) return text(a, b);
  for (const part of [1, 2, 3]) {
    const differs = Number(x[part] ?? 0) - Number(y[part] ?? 0);
    if (differs) return differs;
  }
  if (x[4] && y[4]) return text(x[4], y[4]);
  return Number(!x[4]) - Number(!y[4]) || text(a, b); // one that is no pre-release is newer
}

/** Groups lanes by their image. */
export function versionsOf(lanes: readonly Lane[]): ImageVersions[] {
  const byImage = new Map<string, Lane[]>();
  for (const lane of lanes) if (lane.image) byImage.set(lane.image, [...(byImage.get(lane.image) ?? []), lane]);
  return [...byImage].map(([image, of]) => imageOf(image, of)).sort((a, b) => Number(b.apart) - Number(a.apart) || (a.image < b.image ? -1 : 1));
}

function imageOf(image: string, lanes: readonly Lane[]): ImageVersions {
  const sorted = lanes.toSorted((a, b) => (`${a.namespace}/${a.name}` < `${b.namespace}/${b.name}` ? -1 : 1));
  const places = sorted.map((lane) => placeOf(lane, lanes.filter((other) => other.namespace === lane.namespace).length > 1));
  const policy = lanes.map((lane) => cellOf(lane, "policy")?.object).find((object) => object !== undefined);
  const found = [...places, ...elsewhere(lanes)];
  const tags = [...new Set(found.flatMap((place) => [...place.standings.keys()]))].sort((a, b) => compareTags(b, a));
  return { image, ...(policy && { policy }), places: found, tags, apart: tags.length > 1 };
}

function cellOf(lane: Lane, column: Cell["column"]): Cell | undefined {
  return lane.cells.find((cell) => cell.column === column);
}

/** A lane as a place. What is certain is set last: a version that is live is not only chosen. */
function placeOf(lane: Lane, crowded: boolean): Place {
  const standings = new Map<string, Standing>();
  const [policy, canary, live] = (["policy", "canary", "live"] as const).map((column) => cellOf(lane, column));
  if (policy?.value && lane.stages.length === 0) standings.set(policy.value, { word: "chosen", state: "moving", since: policy.since, why: policy.message });
  for (const stage of lane.stages) if (stage.here && stage.wants) standings.set(stage.wants, wanted(stage));
  if (lane.coming) standings.set(lane.coming, coming(canary));
  if (live?.value) standings.set(live.value, { word: "live", state: live.state, since: live.since, why: live.message, live: true });
  return { key: lane.key, name: lane.namespace, ...(crowded && { detail: lane.name }), to: timelineOf(lane), standings };
}

function wanted(stage: LaneStage): Standing {
  return { word: "wanted", state: stage.state, since: stage.waitingSince, why: stage.message };
}

function coming(canary: Cell | undefined): Standing {
  if (!canary || canary.state === "none") return { word: "applied", state: "moving" };
  const word = canary.state === "failed" ? "rolled back" : canary.state === "waiting" ? canary.value?.endsWith("%") ? `held at ${canary.value}` : "held" : (canary.value ?? "applied");
  return { word, state: canary.state, since: canary.since, why: canary.message };
}

/** Stages whose application is in none of the lanes: it runs in another cluster, or is not to be seen. */
function elsewhere(lanes: readonly Lane[]): Place[] {
  const key = (stage: LaneStage) => `${stage.namespace}/${stage.pipeline}/${stage.name}`;
  const here = new Set(lanes.flatMap((lane) => lane.stages.filter((stage) => stage.here).map(key)));
  const found = new Map<string, Place>();
  for (const stage of lanes.flatMap((lane) => lane.stages)) {
    if (here.has(key(stage)) || found.has(key(stage))) continue;
    const standings = new Map<string, Standing>();
    if (stage.wants) standings.set(stage.wants, wanted(stage));
    if (stage.has) standings.set(stage.has, { word: "has it", state: "ready", since: stage.since, live: true });
    const to = pageOf({ kind: "Pipeline", namespace: stage.namespace, name: stage.pipeline });
    found.set(key(stage), { key: key(stage), name: stage.name, detail: `stage of ${stage.pipeline}`, to, standings });
  }
  return [...found.values()];
}

/** How many images are drawn before one asks for more. */
const page = 50;

const query = computed(() => route.value.query.get("q") ?? "");
const all = computed(() => route.value.query.get("all") === "1");
const images = computed(() => versionsOf(store.all()));
const found = computed(() => {
  const words = query.value.toLowerCase().split(/\s+/).filter(Boolean);
  return images.value.filter((is) => {
    const text = [is.image, ...is.tags, ...is.places.flatMap((place) => [place.name, place.detail ?? ""])].join("\n").toLowerCase();
    return words.every((word) => text.includes(word));
  });
});

/** Which version of each image runs where. */
export function VersionsScreen() {
  useTitle("Versions");
  const limit = useSignal(page);
  const shown = found.value.filter((is) => all.value || is.places.length > 1);
  const alone = found.value.length - found.value.filter((is) => is.places.length > 1).length;
  return (
    <div class="detail versions">
      <h1>Versions</h1>
      <Missing />
      <div class="filters">
        <label class="check">
          <input type="checkbox" checked={all.value} onChange={(event) => setQuery({ all: event.currentTarget.checked ? "1" : "" })} /> also images that run in one place
          {alone > 0 && ` (${alone})`}
        </label>
        <input type="search" aria-label="Search versions" placeholder="Search: image, tag, namespace" value={query.value} onInput={(event) => setQuery({ q: event.currentTarget.value })} />
      </div>
      {!store.loaded.value ? (
        <p class="empty dim" role="status">
          Waiting for the first look at the cluster…
        </p>
      ) : (
        <>
          {shown.length === 0 && <Nothing alone={alone} />}
          {shown.slice(0, limit.value).map((is) => (
            <Image key={is.image} is={is} />
          ))}
          {shown.length > limit.value && (
            <button type="button" class="action" onClick={() => (limit.value += page)}>
              Show more of {count(shown.length - limit.value, "other image")}
            </button>
          )}
        </>
      )}
      <Commands lines={[commandLine("kubectl", "get", "deployments", ...scopeFlags(), "-o", "wide"), commandLine("sluice", "get", "canaries", ...scopeFlags())]} />
    </div>
  );
}

function Nothing({ alone }: { alone: number }) {
  if (images.value.length === 0) return <p class="empty dim">No application that you may see runs yet.</p>;
  return (
    <div class="empty">
      <h2>{alone > 0 ? "No image runs in more than one place" : "No image is like that"}</h2>
      <p class="dim">One that does is compared here: which namespace or stage has which version of it.</p>
      {alone > 0 && (
        <p>
          <button type="button" class="action" onClick={() => setQuery({ all: "1" })}>
            Show {count(alone, "image")} of one place
          </button>
        </p>
      )}
    </div>
  );
}

function Image({ is }: { is: ImageVersions }) {
  const [name = is.image, ...path] = is.image.split("/").reverse();
  return (
    <section class="panel" aria-label={is.image}>
      <h2>
        <span>
          {path.length > 0 && <span class="dim registry">{path.toReversed().join("/")}/</span>}
          {name}
        </span>
        {is.policy && (
          <a class="aside" href={pageOf(is.policy)}>
            Why this tag?
          </a>
        )}
      </h2>
      <div class="scroll" tabIndex={0} role="group" aria-label={`Versions of ${name}`}>
        <table class="matrix">
          <thead>
            <tr>
              <th>Version</th>
              {is.places.map((place) => (
                <th key={place.key}>
                  <a href={place.to}>{place.name}</a>
                  {place.detail && <small> {place.detail}</small>}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {is.tags.map((tag) => (
              <tr key={tag}>
                <th scope="row">
                  <code>{tag}</code>
                </th>
                {is.places.map((place) => (
                  <Stands key={place.key} is={place.standings.get(tag)} />
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function Stands({ is }: { is: Standing | undefined }) {
  if (!is) return <td />;
  return (
    <td class={`is-${is.state}${is.live ? " relation-has" : ""}`} title={is.why}>
      <Mark state={is.state} silent /> <b>{is.word}</b>{" "}
      <small>
        <Age since={is.since} />
      </small>
    </td>
  );
}
