// SPDX-License-Identifier: Apache-2.0

import { useComputed, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { path } from "../api/client";
import { store } from "../api/lanes";
import { isObject, useResource } from "../api/resource";
import type { Cell, Explanation, PolicyDetail, GateCount, Lane, Tag } from "../api/types";
import { Age } from "../parts/age";
import { Commands, commandLine } from "../parts/command";
import { Heading, Loaded, Panel } from "../parts/detail";
import { Mark } from "../parts/mark";
import { useTitle } from "../parts/title";
import { replace, route } from "../router";
import { count, short } from "../words";

/** A rule that is tried without saving it; an empty field leaves what the policy says. */
export interface Draft {
  kind: string;
  range: string;
  order: string;
  pattern: string;
  extract: string;
  /** Tags are taken as they are, whatever pattern the policy has. */
  noPattern: boolean;
}

const nothing: Draft = { kind: "", range: "", order: "", pattern: "", extract: "", noPattern: false };

/** How long nobody types before a rule is tried, in milliseconds. */
const quiet = 300;
/** How many tags are shown before one asks for more. */
const page = 200;

/** The query of a draft; empty is the policy itself. */
export function queryOf(draft: Draft): string {
  const query = new URLSearchParams();
  if (draft.kind) query.set("kind", draft.kind);
  if (draft.kind === "semver" && draft.range) query.set("range", draft.range);
  if ((draft.kind === "alphabetical" || draft.kind === "numerical") && draft.order) query.set("order", draft.order);
  if (draft.noPattern) query.set("pattern", "");
  else if (draft.pattern) query.set("pattern", draft.pattern);
  if (draft.extract && !draft.noPattern) query.set("extract", draft.extract);
  return query.size > 0 ? `?${query}` : "";
}

/** The rules, and the orders of those that have one, that can be chosen. */
const kinds = ["semver", "alphabetical", "numerical"];
const orders = ["asc", "desc"];

/** The draft of a query. What the form has no choice for is not tried: its selection would be empty. */
export function draftOf(query: URLSearchParams): Draft {
  const text = (name: string) => query.get(name) ?? "";
  const choice = (name: string, of: string[]) => (of.includes(text(name)) ? text(name) : "");
  return {
    kind: choice("kind", kinds),
    range: text("range"),
    order: choice("order", orders),
    pattern: text("pattern"),
    extract: text("extract"),
    noPattern: query.get("pattern") === "",
  };
}

/** The command that tries the same. */
export function commandOf(namespace: string, name: string, draft: Draft): string {
  const words = ["sluice", "explain", "policy", name, "-n", namespace];
  if (draft.kind === "semver" && draft.range) words.push("--range", draft.range);
  if (draft.kind === "alphabetical" || draft.kind === "numerical") {
    words.push(`--${draft.kind}`);
    if (draft.order) words.push("--order", draft.order);
  }
  if (draft.noPattern) words.push("--pattern", "");
  else if (draft.pattern) words.push("--pattern", draft.pattern);
  if (draft.extract && !draft.noPattern) words.push("--extract", draft.extract);
  return commandLine(...words);
}

/** How a policy stands in the lanes that it is part of. */
export function cellOf(lanes: readonly Lane[], namespace: string, name: string): Cell | undefined {
  for (const lane of lanes) {
    const cell = lane.cells.find(({ object }) => object?.kind === "ImagePolicy" && object.namespace === namespace && object.name === name);
    if (cell) return cell;
  }
  return undefined;
}

interface Props {
  namespace: string;
  name: string;
}

/** Why a policy chose its tag, and what became of every other one. */
export function PolicyScreen({ namespace, name }: Props) {
  useTitle(`Why this tag? ${name}`);
  // What is tried stands in the address, to be sent to somebody.
  const asked = draftOf(route.value.query);
  const form = useSignal(asked);
  const tried = useSignal(asked);
  useEffect(() => {
    if (queryOf(asked) !== queryOf(tried.peek())) form.value = tried.value = asked;
  }, [queryOf(asked)]);
  useEffect(() => {
    const timer = setTimeout(() => {
      tried.value = form.value;
      if (queryOf(form.value) !== queryOf(draftOf(route.peek().query))) replace(path("policy", namespace, name) + queryOf(form.value));
    }, quiet);
    return () => clearTimeout(timer);
  }, [form.value]);
  const found = useResource<PolicyDetail>(
    "/api/v1" + path("policies", namespace, name) + queryOf(tried.value),
    isObject("ImagePolicy", namespace, name),
  );
  const trying = queryOf(tried.value) !== "";
  const stands = useComputed(() => cellOf(store.all(), namespace, name)).value;
  return (
    <div class="detail">
      <Heading kind="ImagePolicy" namespace={namespace} name={name} state={trying ? "unknown" : (stands?.state ?? "unknown")} word={trying ? "trying another rule" : undefined} />
      {stands?.message && !trying && stands.state !== "ready" && <p class={`notice is-${stands.state}`}>{stands.message}</p>}
      <Try own={found.value.data} form={form.value} change={(changes) => (form.value = { ...form.value, ...changes })} />
      <Loaded of={found.value} what={`ImagePolicy ${namespace}/${name}`}>
        {(is) => (
          <>
            <Explained is={is} trying={trying} filter={filterOf(is, tried.value)} />
            <Commands lines={[commandOf(namespace, name, tried.value)]} />
          </>
        )}
      </Loaded>
    </div>
  );
}

function Try({ own, form, change }: { own: PolicyDetail | undefined; form: Draft; change: (changes: Partial<Draft>) => void }) {
  const field = (name: Exclude<keyof Draft, "noPattern">, label: string, placeholder: string) => (
    <label>
      {label}
      <input value={form[name]} placeholder={placeholder} spellcheck={false} autocomplete="off" disabled={form.noPattern && (name === "pattern" || name === "extract")} onInput={(event) => change({ [name]: event.currentTarget.value })} />
    </label>
  );
  return (
    <form class="try" aria-label="Try another rule; nothing is saved" onSubmit={(event) => event.preventDefault()}>
      <label>
        Try another rule
        <select value={form.kind} onChange={(event) => change({ kind: event.currentTarget.value })}>
          <option value="">as the policy says</option>
          {kinds.map((kind) => (
            <option key={kind}>{kind}</option>
          ))}
        </select>
      </label>
      {form.kind === "semver" && field("range", "Range", ">=1.0.0 <2.0.0")}
      {(form.kind === "alphabetical" || form.kind === "numerical") && (
        <label>
          Order
          <select value={form.order} onChange={(event) => change({ order: event.currentTarget.value })}>
            <option value="">as the policy says</option>
            {orders.map((order) => (
              <option key={order}>{order}</option>
            ))}
          </select>
        </label>
      )}
      {field("pattern", "Pattern", own?.pattern ?? "none")}
      {field("extract", "Extract", own?.extract ?? "none")}
      <label>
        No pattern
        <input type="checkbox" checked={form.noPattern} onChange={(event) => change({ noPattern: event.currentTarget.checked })} />
      </label>
      <button type="button" class="action" disabled={queryOf(form) === "" && form.kind === ""} onClick={() => change(nothing)}>
        Reset
      </button>
      <span class="dim">Nothing is saved.</span>
    </form>
  );
}

/** What is left of all tags after each gate, in the order in which they are met. */
export function funnelOf(is: Pick<Explanation, "total" | "gates">): (GateCount & { left: number })[] {
  let left = is.total;
  return is.gates.toSorted((a, b) => order(a.gate) - order(b.gate)).map((count) => ({ ...count, left: (left -= count.dropped) }));
}

const gateWords: Record<string, string> = {
  exclusionList: "not excluded",
  filterTags: "matching the pattern",
  pin: "pinned",
  "reject.tag": "not rejected",
  registry: "found in the registry",
  quarantine: "not in quarantine",
  minAge: "old enough",
  platform: "of the platforms",
  "reject.digest": "not rejected by digest",
  verify: "signed",
};

/** What is true of the tags that a gate leaves. */
export function gateWord(gate: string, rule: string): string {
  if (gate === "policy") return rule.startsWith("semver") ? "in the range" : rule.startsWith("numerical") ? "that are numbers" : "in the order";
  return gateWords[gate] ?? `after ${gate}`;
}

const gateOrder = ["exclusionList", "filterTags", "policy", "pin", "reject.tag", "registry", "quarantine", "minAge", "platform", "reject.digest", "verify"];

function order(gate: string): number {
  const at = gateOrder.indexOf(gate);
  return at < 0 ? gateOrder.length : at;
}

/** What is not judged here: signatures and ages, of which the controller knows. */
export function judgedElsewhere(is: Pick<Explanation, "forTheController" | "signatureVerified">, trying: boolean): string {
  const fields = is.forTheController ?? [];
  if (trying && fields.length > 0) return `Not tried: ${fields.join(", ")}. The controller judges that before it chooses; of the best tags its last verdict stands below.`;
  return is.signatureVerified ? "Its signature was verified." : "";
}

/** The pattern that tags are judged with, and what of it is compared: those of the policy, as far as no other ones are tried. */
export function filterOf(own: Pick<PolicyDetail, "pattern" | "extract">, draft: Draft): { pattern: string; extract: string } {
  if (draft.noPattern) return { pattern: "", extract: "" };
  return { pattern: draft.pattern || (own.pattern ?? ""), extract: draft.extract || (own.extract ?? "") };
}

function Explained({ is, trying, filter }: { is: Explanation; trying: boolean; filter: { pattern: string; extract: string } }) {
  const limit = useSignal(page);
  const chosen = is.tags.find((tag) => tag.chosen);
  const best = is.tags.find((tag) => tag.rank === 1);
  const elsewhere = judgedElsewhere(is, trying);
  return (
    <>
      <p class="lead">
        <code>{is.image ?? ""}</code> <span class="dim">·</span> {is.rule}
        {filter.pattern && (
          <>
            {" "}
            <span class="dim">· pattern</span> <code>{filter.pattern}</code>
          </>
        )}
        {filter.extract && (
          <>
            {" "}
            <span class="dim">extract</span> <code>{filter.extract}</code>
          </>
        )}
      </p>
      <div class="notice">
        <p class="winner">
          <span>
            <span class="dim">{trying ? "Would rank first" : "Chosen"}</span> <strong>{(trying ? best : (chosen ?? best))?.tag ?? "no tag"}</strong>
          </span>
          {trying && chosen && chosen.tag !== best?.tag && (
            <span class="dim">
              in place of <b>{chosen.tag}</b>
            </span>
          )}
        </p>
        <p>{is.why}</p>
        {elsewhere && <p class="dim">{elsewhere}</p>}
      </div>
      <Funnel is={is} />
      <Panel title="Tags" aside={`${count(is.qualified, "tag")} of ${is.total.toLocaleString("en")} rank`}>
        {is.tags.length === 0 && <p class="dim">The last scan found no tag at all. Look at the ImageRepository: its URL, its secret, its exclusion list.</p>}
        <div class="scroll" tabIndex={0} role="group" aria-label="Tags">
          <table class="tags">
            <thead>
              <tr>
                <th class="number">Rank</th>
                <th>Tag</th>
                <th>Compared</th>
                <th>What became of it</th>
                <th>First seen</th>
                <th>Digest</th>
              </tr>
            </thead>
            <tbody>
              {is.tags.slice(0, limit.value).map((tag) => (
                <Row key={tag.tag} tag={tag} />
              ))}
            </tbody>
          </table>
        </div>
        {is.tags.length > limit.value && (
          <p>
            <button type="button" class="action" onClick={() => (limit.value += 1000)}>
              Show more of {count(is.tags.length - limit.value, "other tag")}
            </button>
          </p>
        )}
        {is.tags.some((tag) => !tag.firstSeen) && <p class="dim">When the other tags were first seen only the controller knows: the page that it serves says so.</p>}
        {is.leftOut !== undefined && <p class="dim">{count(is.leftOut, "other tag")} are left out here: sluice explain policy lists all.</p>}
      </Panel>
    </>
  );
}

function Row({ tag }: { tag: Tag }) {
  const state = tag.chosen ? "ready" : tag.gate ? (tag.rank ? "waiting" : "none") : "none";
  return (
    <tr class={tag.chosen ? "chosen" : tag.rank ? "" : "dropped"}>
      <td class="number">{tag.rank ?? ""}</td>
      <th scope="row">
        <code>{tag.tag}</code>
      </th>
      <td>{tag.text !== undefined && tag.text !== tag.tag ? <code>{tag.text}</code> : <span class="dim">{tag.text === undefined ? "" : "itself"}</span>}</td>
      <td class="said">
        {state !== "none" && <Mark state={state} silent />} {tag.chosen && <b>chosen </b>}
        {tag.gate && <span class="gate">{tag.gate}</span>} {tag.why}
      </td>
      <td>
        <Age since={tag.firstSeen} ago />
      </td>
      <td>
        <code title={tag.digest}>{tag.digest && short(tag.digest)}</code>
      </td>
    </tr>
  );
}

/** From all tags to those that rank: what each gate left. */
function Funnel({ is }: { is: Explanation }) {
  const steps = funnelOf(is);
  if (is.total === 0 || steps.length === 0) return null;
  return (
    <ol class="funnel" aria-label="What each gate left">
      <Bar name="that a scan keeps" n={is.total} of={is.total} />
      {steps.map((step) => (
        <Bar key={step.gate} name={gateWord(step.gate, is.rule)} n={step.left} of={is.total} dropped={step.dropped} />
      ))}
    </ol>
  );
}

function Bar({ name, n, of, dropped }: { name: string; n: number; of: number; dropped?: number }) {
  return (
    <li>
      <span>{name}</span>
      <svg width="100%" height="10" aria-hidden="true">
        <rect width="100%" height="10" rx="2" class="bar-track" />
        <rect width={`${Math.max(0.5, (100 * n) / of)}%`} height="10" rx="2" class="bar-done" />
      </svg>
      <span class="number">{n.toLocaleString("en")}</span>
      <span class="number dim">{dropped ? `−${dropped.toLocaleString("en")}` : ""}</span>
    </li>
  );
}
