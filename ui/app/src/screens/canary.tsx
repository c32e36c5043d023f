// SPDX-License-Identifier: Apache-2.0

import type { ReadonlySignal } from "@preact/signals";
import { path } from "../api/client";
import { unwatched, useResource, type Resource } from "../api/resource";
import type { CanaryCommand, CanaryDetail, CanaryRelease, CanaryStep, CellState, Judgement, ObjectReference, Pod, Webhook } from "../api/types";
import { now } from "../clock";
import { Age, Moment } from "../parts/age";
import { Chart } from "../parts/chart";
import { Commands, commandLine } from "../parts/command";
import { Buttons, linesOf, type Button } from "../parts/confirm";
import { Conditions, Events, Heading, Loaded, Panel, Properties, Said } from "../parts/detail";
import { Mark } from "../parts/mark";
import { endOf, limitsOf, measured, metricsOf, unitOf, weights } from "../parts/series";
import { useTitle } from "../parts/title";
import { count, duration, figure, isRecent, short } from "../words";
import { readOnly } from "../api/session";

interface Props {
  namespace: string;
  name: string;
}

/** Tells whether an object is a Canary, or one of the workloads of its target, such as Deployment/podinfo. */
export function isAbout(canary: { namespace: string; name: string }, target: string | undefined, changed: ObjectReference): boolean {
  if (changed.namespace !== canary.namespace) return false;
  const one = `${changed.kind}/${changed.name}`;
  return one === `Canary/${canary.name}` || (target !== undefined && (one === target || one === `${target}-primary`));
}

/** A Canary: what it gives to whom, what it measures, and what a person can do. */
export function CanaryScreen({ namespace, name }: Props) {
  useTitle(`Canary ${name}`);
  const found: ReadonlySignal<Resource<CanaryDetail>> = useResource<CanaryDetail>(
    "/api/v1" + path("canaries", namespace, name),
    (changed) => isAbout({ namespace, name }, found.peek().data?.target, changed),
    (is) => (is.pods.some((pod) => pod.why) ? unwatched : undefined), // why not may change while nothing else does
  );
  const line = (verb: string) => commandLine("sluice", "canary", verb, name, "-n", namespace);
  return (
    <div class="detail">
      <Loaded of={found.value} what={`Canary ${namespace}/${name}`}>
        {(is) => (
          <>
            <Described is={is} />
            <Commands lines={[line("describe"), line("watch"), ...linesOf(buttonsOf(is))]} />
          </>
        )}
      </Loaded>
    </div>
  );
}

function Described({ is }: { is: CanaryDetail }) {
  const release = is.releases[0] ?? is.release;
  return (
    <>
      <Heading kind="Canary" namespace={is.namespace} name={is.name} state={is.state} word={is.phase || undefined}>
        <Buttons of={buttonsOf(is)} />
      </Heading>
      <p class="lead">
        {is.target} <span class="dim">·</span> {is.strategy} <span class="dim">·</span> <code>{is.image ?? "no image yet"}</code>
        <Said message={is.message} />
      </p>
      <Hold is={is} />
      {is.lastCommand && <Given is={is.lastCommand} />}
      <div class="columns">
        <div>
          <Now is={is} release={release} />
          {is.judge && <Judge judge={is.judge} />}
          <Webhooks of={is.webhooks} />
          <Panel title="Releases" aside="the newest first">
            {is.releases.length === 0 && <p class="dim">None yet. The first change of {is.target} begins one.</p>}
            {is.releases.map((one, i) => (
              <Release key={one.startedAt + one.revision} release={one} open={i === 0} good={is.good} longest={longest(is.releases, now.value)} />
            ))}
          </Panel>
        </div>
        <div>
          <Panel title="How it releases">
            <Properties of={is.properties} />
          </Panel>
          <Pods of={is.pods} problem={is.podsProblem} />
          <Panel title="Conditions">
            <Conditions of={is.conditions} />
          </Panel>
          <Panel title="Events" aside="the newest first">
            <Events of={is.events} problem={is.eventsProblem} />
          </Panel>
        </div>
      </div>
    </>
  );
}

const settled = new Set(["", "Initialized", "Succeeded", "Failed", "Terminated", "Terminating"]);

/** What a person can do about a Canary as it is. */
function buttonsOf(is: CanaryDetail): Button[] {
  const button = (verb: string, label: string, does: string): Button => ({ action: { kind: "Canary", namespace: is.namespace, name: is.name, verb }, label, does });
  const held = is.hold && !is.hold.approved ? is.hold.kind : undefined;
  const found: Button[] = [];
  if (is.suspended) found.push(button("resume", "Resume", "Sets spec.suspend to false: the controller acts on it again."));
  if (held === "pause" || held === "halt") found.push(button("approve", "Resume", `Ends the ${held}: the release goes on.`));
  else if (held) found.push(button("approve", "Approve", held === "gate" ? "Opens the gate that the release waits at." : "Lets the release go on without a verdict of the judge."));
  if (!settled.has(is.phase)) {
    if (held !== "pause") found.push(button("pause", "Pause", "Keeps the weight as it is, and judges nothing until it goes on."));
    if (held !== "halt") found.push(button("halt", "Halt", "Keeps the release in its step. Checks go on, and still roll it back."));
    found.push(button("promote", "Promote", "Gives the new version to all users now, without the remaining steps."));
    found.push({ ...button("abort", "Abort", "Rolls the release back now. Its revision is not tried again before the target changes."), danger: true });
  }
  if (is.retriable) found.push(button("retry", "Try again", "Tries the revision that failed once more."));
  return found;
}

/** The last command of a person, and what became of it. */
export function Given({ is }: { is: CanaryCommand }) {
  const refused = is.outcome?.startsWith("refused: ") && isRecent(is.at, now.value);
  return (
    <p class={refused ? "notice is-failed" : "lead dim"}>
      Last command: <b>{is.verb}</b>
      {is.by && ` by ${is.by}`}, <Age since={is.at} ago />: {is.outcome ?? "carried out"}
    </p>
  );
}

function Hold({ is }: { is: CanaryDetail }) {
  const hold = is.hold;
  if (!hold && !is.pendingCommand) return null;
  return (
    <div class="notice is-waiting">
      {hold && (
        <p>
          <Mark state="waiting" silent /> <b>{hold.approved ? "Approved" : "Held"}</b>
          {`: ${hold.kind}${hold.gate ? ` ${hold.gate}` : ""}${hold.by ? ` by ${hold.by}` : ""}, `}
          <Age since={hold.since} lasts />
          {hold.approved ? "; the next step passes it" : `. ${next(hold.kind)}`}
        </p>
      )}
      {is.pendingCommand && (
        <p>
          <b>{is.pendingCommand.verb}</b> was given{is.pendingCommand.by && ` by ${is.pendingCommand.by}`} <Age since={is.pendingCommand.at} ago />, and is not carried out yet.
        </p>
      )}
    </div>
  );
}

/** What a person can do about what holds a release. */
function next(kind: string): string {
  if (readOnly.value) return "Somebody who may change it can let it go on, or abort it.";
  return `${kind === "pause" || kind === "halt" ? "Resume" : "Approve"} lets it go on, Abort rolls it back.`;
}

function Now({ is, release }: { is: CanaryDetail; release: CanaryRelease | undefined }) {
  if (!release) return null;
  const percent = weights(release, release.endedAt ? 0 : now.value);
  const names = metricsOf(release);
  const reached = release.endedAt ? endOf(release) : is.weight;
  return (
    <Panel
      title={release.endedAt ? "Last release" : "Release under way"}
      aside={
        <>
          {is.stage > 0 && `step ${is.stage} of ${is.stages} · `}
          {is.failedChecks > 0 || !release.endedAt ? failures(is.failedChecks, is.threshold) : (release.verdict ?? "")}
        </>
      }
    >
      <figure class="weight">
        <figcaption>
          <b>{reached} %</b> of the users {release.endedAt ? "have its version" : ""}
        </figcaption>
        <Chart label={`Weight of the canary over time, ${release.endedAt ? "at last" : "now"} ${reached} %`} series={percent} steps scale={[0, 100]} unit=" %" height={170} />
      </figure>
      <div class="metrics">
        {names.map((name) => (
          <Metric key={name} name={name} release={release} good={is.good[name]} />
        ))}
        {names.length === 0 && <p class="dim">No step has measured anything yet.</p>}
      </div>
      {names.length > 0 && <p class="dim">A point is the last check of a step.</p>}
    </Panel>
  );
}

/** How many checks failed, and how many are too many. */
export function failures(failed: number, threshold: number): string {
  return `${failed === 0 ? "no check" : count(failed, "check")} failed; ${threshold} ${threshold === 1 ? "rolls" : "roll"} it back`;
}

function Metric({ name, release, good }: { name: string; release: CanaryRelease; good: string | undefined }) {
  const series = measured(release, name, release.endedAt ? 0 : now.value);
  const last = release.steps?.flatMap((step) => step.measured ?? []).findLast((m) => m.name === name);
  const said = last?.value === undefined ? "no values" : figure(last.value) + unitOf(good);
  return (
    <figure class={`metric ${last?.failure ? "is-failed" : ""}`}>
      <figcaption>
        <Mark state={last?.failure ? "failed" : "ready"} silent />
        <b>{name}</b> {said} <span class="dim">{good && good !== "any" ? `should be ${good}` : "any value is good"}</span>
      </figcaption>
      <Chart label={`${name} over time: ${said}${good ? `, should be ${good}` : ""}`} series={series} limits={limitsOf(good)} unit={unitOf(good)} height={110} />
      {last?.failure && <p class="bad">{last.failure}</p>}
    </figure>
  );
}

/** The webhooks of the analysis with what they answered last, those that failed first. */
export function Webhooks({ of }: { of: readonly Webhook[] }) {
  if (of.length === 0) return null;
  const failed = of.filter((webhook) => webhook.state === "failed").length;
  return (
    <Panel title="Webhooks" aside={failed > 0 && `${failed} of ${of.length} failed`}>
      <ul class="marked">
        {of.map((webhook) => (
          <li key={`${webhook.type}/${webhook.name}`}>
            <Mark state={webhook.state} silent />
            <div>
              <b>{webhook.name}</b> <span class="dim">{webhook.type} ·</span> {webhook.outcome}
              {webhook.since && (
                <>
                  , <Age since={webhook.since} lasts />
                </>
              )}
              {webhook.message && <p class={webhook.state === "failed" ? "bad" : "dim"}>{webhook.message}</p>}
              {webhook.lastFailure && (
                <p class="dim">
                  Last failed <Age since={webhook.lastFailure.at} ago />: {webhook.lastFailure.message}
                </p>
              )}
            </div>
          </li>
        ))}
      </ul>
    </Panel>
  );
}

/** The pods of both workloads, those that are not ready first. */
function Pods({ of, problem }: { of: readonly Pod[]; problem: string | undefined }) {
  if (of.length === 0 && !problem) return null;
  return (
    <Panel title="Pods" aside={`${of.filter((pod) => !pod.why).length} of ${of.length} ready`}>
      {problem && <p class="bad">{problem}</p>}
      <ul class="marked">
        {of.map((pod) => (
          <li key={pod.name}>
            <Mark state={pod.why ? "moving" : "ready"} silent />
            <div>
              <b>{pod.primary ? "primary" : "canary"}</b> <code>{pod.name}</code>
              {pod.why && <p class="wait">{pod.why}</p>}
              <p class="dim">
                {shortImage(pod.image)} · made <Age since={pod.since} ago />
                {pod.restarts > 0 && ` · ${count(pod.restarts, "restart")}`}
              </p>
            </div>
          </li>
        ))}
      </ul>
    </Panel>
  );
}

const outcomes: Record<string, CellState> = { Pass: "ready", Fail: "failed", Mismatch: "waiting", Undecided: "moving" };

function Judge({ judge }: { judge: Judgement }) {
  return (
    <Panel title="Judge" aside={judge.outlook}>
      <p>
        <Mark state={outcomes[judge.outcome ?? ""] ?? "unknown"} silent /> <b>{judge.outcome ?? "No comparison yet"}</b>
        {judge.message && `: ${judge.message}`}
      </p>
      {(judge.remarks ?? []).map((remark) => (
        <p key={remark}>{remark}</p>
      ))}
      {judge.problem && <p class="bad">The arms cannot be compared: {judge.problem}</p>}
      {judge.thresholdsOnly && <p class="bad">It decides nothing: its test of itself failed. Thresholds decide alone.</p>}
      {judge.findings && (
        <div class="scroll" tabIndex={0} role="group" aria-label="Evidence">
          <table>
            <thead>
              <tr>
                <th>Metric</th>
                <th>Outcome</th>
                <th class="number">Canary to primary</th>
                <th>Evidence</th>
              </tr>
            </thead>
            <tbody>
              {judge.findings.map((finding, i) => (
                <tr key={i}>
                  <td>
                    {finding.metric}
                    {finding.over && ` over ${finding.over}`}
                  </td>
                  <td class="nowrap">
                    <Mark state={outcomes[finding.outcome] ?? "unknown"} silent /> {finding.outcome}
                  </td>
                  <td class="number">{finding.ratio ? `${finding.ratio}×` : ""}</td>
                  <td class="said">{finding.message}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {judge.countedBy && <p class="dim">Counted by {judge.countedBy}.</p>}
      {judge.trials ? (
        <p class="dim">
          Compared with itself {judge.trials} times, {count(judge.falseAlarms ?? 0, "false alarm")}
          {judge.dispersion && `; errors vary ${judge.dispersion} times as much as by chance`}.
        </p>
      ) : null}
    </Panel>
  );
}

const verdicts: Record<string, CellState> = { promoted: "ready", skipped: "ready", failed: "failed", reverted: "failed", superseded: "suspended" };

/** Milliseconds that a release took, up to now while it is under way. */
function took(release: CanaryRelease, now: number): number {
  return (release.endedAt ? Date.parse(release.endedAt) : now) - Date.parse(release.startedAt);
}

function longest(releases: readonly CanaryRelease[], now: number): number {
  return Math.max(1, ...releases.map((release) => took(release, now)));
}

interface ReleaseProps {
  release: CanaryRelease;
  open: boolean;
  good: Record<string, string>;
  /** Milliseconds that the longest of the releases took: bars are compared with it. */
  longest: number;
}

function Release({ release, open, good, longest }: ReleaseProps) {
  const end = release.endedAt ? Date.parse(release.endedAt) : now.value;
  const state = verdicts[release.verdict ?? ""] ?? "moving";
  const steps = release.steps ?? [];
  return (
    <details class="release" open={open}>
      <summary>
        <Mark state={state} silent />
        <b>{release.verdict ?? "under way"}</b>
        <code>{(release.images ?? []).map(shortImage).join(", ") || short(release.revision)}</code>
        <span class="dim">
          <Moment at={release.startedAt} />
          {release.by && ` · by ${release.by}`}
        </span>
        <span class="took">
          {duration(took(release, end) / 1000)}
          <svg width="90" height="6" aria-hidden="true" class={`is-${state}`}>
            <rect width={Math.max(2, (90 * took(release, end)) / longest)} height="6" rx="3" />
          </svg>
        </span>
      </summary>
      {release.reason && <p>{release.reason}</p>}
      {steps.length > 0 && <Steps steps={steps} end={end} good={good} />}
    </details>
  );
}

function shortImage(image: string): string {
  return image.split("@")[0]?.split("/").at(-1) ?? image;
}

function Steps({ steps, end, good }: { steps: readonly CanaryStep[]; end: number; good: Record<string, string> }) {
  const names = metricsOf({ revision: "", startedAt: "", steps: [...steps] });
  return (
    <div class="scroll" tabIndex={0} role="group" aria-label="Steps">
      <table>
        <thead>
          <tr>
            <th class="number">Weight</th>
            <th>Began</th>
            <th class="number">Took</th>
            <th class="number">Failed checks</th>
            {names.map((name) => (
              <th key={name} class="number">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {steps.map((step, i) => (
            <tr key={i}>
              <td class="number">{step.mirror ? "copies" : step.iteration ? `check ${step.iteration}` : `${step.weight} %`}</td>
              <td>
                <Moment at={step.at} />
              </td>
              <td class="number">{duration((Date.parse(steps[i + 1]?.at ?? "") || end) / 1000 - Date.parse(step.at) / 1000)}</td>
              <td class="number">{step.failedChecks ?? 0}</td>
              {names.map((name) => {
                const m = step.measured?.find((m) => m.name === name);
                return (
                  <td key={name} class={m?.failure ? "number bad" : "number"} title={m?.failure}>
                    {m ? (m.value === undefined ? "no values" : figure(m.value) + unitOf(good[name])) : ""}
                    {m?.failure && " ✕"}
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
