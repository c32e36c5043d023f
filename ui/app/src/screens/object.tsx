// SPDX-License-Identifier: Apache-2.0

import { useSignal, type ReadonlySignal } from "@preact/signals";
import { path } from "../api/client";
import { useResource, type Resource } from "../api/resource";
import type { CellState, ObjectDetail, ObjectLine, ObjectReference, Repair } from "../api/types";
import { flux, isReconciled } from "../kinds";
import { clusterScope, pageOf } from "../links";
import { Age } from "../parts/age";
import { Commands, Copy, commandLine } from "../parts/command";
import { Buttons, linesOf, type Button } from "../parts/confirm";
import { Conditions, Events, Heading, Loaded, ObjectLink, Panel } from "../parts/detail";
import { Mark, stateOf } from "../parts/mark";
import { useTitle } from "../parts/title";
import { count } from "../words";

interface Props {
  kind: string;
  namespace: string;
  name: string;
}

/** Any object: its conditions, its events, what it applied, and its YAML. */
export function ObjectScreen({ kind, namespace: scope, name }: Props) {
  useTitle(`${kind} ${name}`);
  const namespace = scope === clusterScope ? "" : scope;
  const found: ReadonlySignal<Resource<ObjectDetail>> = useResource<ObjectDetail>("/api/v1" + path("objects", kind, scope, name), (changed) => {
    const is = (one: { namespace: string; name: string }) => changed.kind === kind && changed.name === one.name && changed.namespace === one.namespace;
    return is({ namespace, name }) || (found.peek().data?.dependencies.some(is) ?? false);
  });
  const lines = [commandLine("kubectl", ...(namespace ? ["-n", namespace] : []), "get", kind.toLowerCase(), name, "-o", "yaml")];
  const reconcile = flux("reconcile", { kind, namespace, name });
  if (reconcile) lines.push(reconcile);
  if (kind === "Kustomization") lines.push(commandLine("flux", "tree", "kustomization", name, "-n", namespace));
  return (
    <div class="detail">
      <Loaded of={found.value} what={`${kind} ${namespace && namespace + "/"}${name}`}>
        {(is) => (
          <>
            <Shown is={is} />
            <Commands lines={[...lines, ...linesOf(buttonsOf(is))]} />
          </>
        )}
      </Loaded>
    </div>
  );
}

/** The state of an object by its conditions, unless it is suspended; none if no controller tells any. */
function stateOfDetail(is: ObjectDetail): CellState {
  const conditions = is.conditions;
  if (conditions.length === 0 && !is.suspended && !isReconciled(is.kind)) return "none";
  if (conditions.some((c) => c.type === "Stalled" && c.status === "True")) return "failed";
  const ready = conditions.find((c) => c.type === "Ready") ?? conditions.find((c) => c.type === "Available");
  return stateOf(ready?.status, is.suspended);
}

/** What a person can do about an object of any kind that a controller reconciles. */
function buttonsOf(is: ObjectDetail): Button[] {
  if (!isReconciled(is.kind)) return [];
  const button = (verb: string, label: string, does: string): Button => ({ action: { kind: is.kind, namespace: is.namespace, name: is.name, verb }, label, does });
  return [
    button("reconcile", "Reconcile", "Lets its controller look at it now."),
    is.suspended
      ? button("resume", "Resume", "Lets its controller act on it again.")
      : button("suspend", "Suspend", "Lets its controller do nothing about it until it is resumed."),
  ];
}

function Shown({ is }: { is: ObjectDetail }) {
  const own = pageOf(is);
  const state = stateOfDetail(is);
  return (
    <>
      <Heading kind={is.kind} namespace={is.namespace} name={is.name} state={state} word={state === "none" ? "has no conditions" : undefined} plain>
        <Buttons of={buttonsOf(is)} />
      </Heading>
      {!own.startsWith("/objects/") && (
        <p class="lead">
          <a href={own}>This kind has a screen of its own.</a>
        </p>
      )}
      <div class="columns">
        <div>
          <Panel title="Conditions">
            <Conditions of={is.conditions} />
          </Panel>
          {is.dependencies.length > 0 && <Dependencies of={is.dependencies} />}
          {is.kind === "Kustomization" && <Drift of={is} />}
          {is.inventory.length > 0 && <Inventory of={is.inventory} />}
          <Panel title="YAML" aside={<Copy text={is.yaml} what="the YAML" />}>
            <pre class="yaml" tabIndex={0}>
              {is.yaml}
            </pre>
          </Panel>
        </div>
        <Panel title="Events" aside="the newest first">
          <Events of={is.events} problem={is.eventsProblem} />
        </Panel>
      </div>
    </>
  );
}

/** What has to be ready before this is applied. */
function Dependencies({ of }: { of: readonly ObjectLine[] }) {
  return (
    <Panel title="Depends on">
      <ul class="plain">
        {of.map((line) => (
          <li key={`${line.namespace}/${line.name}`}>
            <Mark state={stateOf(line.ready, line.suspended)} /> <ObjectLink to={line} /> <span class="dim">{line.message}</span>
          </li>
        ))}
      </ul>
    </Panel>
  );
}

/** The reason of events about objects that somebody keeps changing. */
const contended = "DriftDetected";

/** What was done to applied objects beside the source, and undone. */
export function Drift({ of }: { of: Pick<ObjectDetail, "repairs" | "events" | "eventsProblem"> }) {
  if (of.eventsProblem) {
    return (
      <Panel title="Drift">
        <p class="bad">Whether anything was changed beside the source is not known: {of.eventsProblem}</p>
      </Panel>
    );
  }
  const kept = of.events.filter((event) => event.reason === contended).reverse();
  if (of.repairs.length === 0 && kept.length === 0) {
    return (
      <Panel title="Drift">
        <p class="dim">Nothing was changed beside the source, as far as events tell: the cluster keeps them for about an hour.</p>
      </Panel>
    );
  }
  return (
    <Panel title="Drift" aside={count(of.repairs.length, "repair")}>
      <ul class="plain">
        {kept.map((event, i) => (
          <li key={i}>
            <Mark state="waiting" /> {event.message} <Age since={event.time} ago />
          </li>
        ))}
        {of.repairs.map((repair, i) => (
          <li key={i}>
            <p>
              <ObjectLink to={repair} /> {undone(repair)} <code>{(repair.fields ?? []).join(", ")}</code>
              {repair.more ? ` and ${repair.more} more` : ""}{" "}
              <span class="dim">
                <Age since={repair.at} ago />
                {repair.count > 1 && ` · ${repair.count} times`}
              </span>
            </p>
          </li>
        ))}
      </ul>
    </Panel>
  );
}

/** What was done to an object, and that it was undone. */
export function undone(repair: Repair): string {
  const by = repair.by ?? "somebody";
  if (repair.deleted) return "was deleted, and made again";
  if (by.includes("/") && !repair.fields) return `was applied by ${by} as well, and is as the source has it again`;
  return `was changed by ${by}, and is as the source has it again${repair.fields ? ":" : ""}`;
}

/** What was applied, by namespace and kind. */
export function treeOf(inventory: readonly ObjectReference[]): [string, [string, ObjectReference[]][]][] {
  const tree = new Map<string, Map<string, ObjectReference[]>>();
  for (const object of inventory) {
    const namespace = object.namespace || "in no namespace";
    const byKind = tree.get(namespace) ?? new Map<string, ObjectReference[]>();
    tree.set(namespace, byKind);
    const objects = byKind.get(object.kind);
    if (objects) objects.push(object);
    else byKind.set(object.kind, [object]);
  }
  const sorted = <T,>(map: Map<string, T>) => [...map].sort(([a], [b]) => a.localeCompare(b));
  return sorted(tree).map(([namespace, byKind]) => [namespace, sorted(byKind)]);
}

function Inventory({ of }: { of: readonly ObjectReference[] }) {
  return (
    <Panel title="Applied objects" aside={count(of.length, "object")}>
      {treeOf(of).map(([namespace, byKind]) => (
        <Folder key={namespace} namespace={namespace} byKind={byKind} open={of.length <= 50} />
      ))}
    </Panel>
  );
}

/** What was applied in a namespace, drawn once somebody opens it: there may be thousands. */
function Folder({ namespace, byKind, open }: { namespace: string; byKind: [string, ObjectReference[]][]; open: boolean }) {
  const opened = useSignal(open);
  return (
    <details open={opened.value} onToggle={(event) => (opened.value = event.currentTarget.open)} class="tree">
      <summary>{namespace}</summary>
      {opened.value && (
        <ul>
          {byKind.map(([kind, objects]) => (
            <li key={kind}>
              <span class="dim">{kind}</span>
              <ul>
                {objects.map((object) => (
                  <li key={object.name}>
                    <ObjectLink to={object} label={object.name} />
                  </li>
                ))}
              </ul>
            </li>
          ))}
        </ul>
      )}
    </details>
  );
}
