// SPDX-License-Identifier: Apache-2.0

import { path } from "../api/client";
import { isObject, useResource } from "../api/resource";
import type { Bundle, BundleInStage, BundleRow, CellState, Consent, PipelineDetail, PipelineStage, Quarantine, SluiceGate, SluicePullRequestStatus } from "../api/types";
import { now } from "../clock";
import { commitOf } from "../links";
import { Age, Countdown, Moment } from "../parts/age";
import { Commands, Remedies, commandLine, safe } from "../parts/command";
import { ActionButton, Buttons, linesOf, type Button, type Choice } from "../parts/confirm";
import { Conditions, Events, Heading, Loaded, Panel, Properties, Said } from "../parts/detail";
import { Mark, stateOf } from "../parts/mark";
import { useTitle } from "../parts/title";
import { isRecent, short } from "../words";

interface Props {
  namespace: string;
  name: string;
}

/** A Pipeline: its stages, what each has, wants and waits for. */
export function PipelineScreen({ namespace, name }: Props) {
  useTitle(`Pipeline ${name}`);
  const found = useResource<PipelineDetail>("/api/v1" + path("pipelines", namespace, name), isObject("Pipeline", namespace, name));
  const line = (verb: string) => commandLine("sluice", "pipeline", verb, name, "-n", namespace);
  return (
    <div class="detail">
      <Loaded of={found.value} what={`Pipeline ${namespace}/${name}`}>
        {(is) => (
          <>
            <Described is={is} />
            <Commands lines={[line("describe"), line("history"), line("watch"), ...linesOf(allButtonsOf(is))]} />
          </>
        )}
      </Loaded>
    </div>
  );
}

/** A bundle in a word: the tags of its versions, or its id. */
export function bundleName(bundle: Bundle | undefined): string {
  if (!bundle) return "–";
  const tags = (bundle.versions ?? []).map((v) => v.tag ?? short(v.digest ?? ""));
  if (tags.length === 0) return short(bundle.id);
  if (new Set(tags).size === 1) return tags[0] ?? "";
  return (bundle.versions ?? []).map((v) => `${v.artifact} ${v.tag ?? short(v.digest ?? "")}`).join(", ");
}

const gravest: readonly CellState[] = ["failed", "waiting", "moving"];

/** The state of a pipeline. While it is on its way, that is the one of the stage that needs a person most. */
export function stateOfPipeline(is: Pick<PipelineDetail, "ready" | "suspended" | "stages">): CellState {
  const own = stateOf(is.ready, is.suspended);
  if (own !== "moving" && own !== "ready") return own;
  return gravest.find((state) => is.stages.some((stage) => stage.state === state)) ?? own;
}

function Described({ is }: { is: PipelineDetail }) {
  return (
    <>
      <Heading kind="Pipeline" namespace={is.namespace} name={is.name} state={stateOfPipeline(is)} />
      <p class="lead">
        {is.candidate ? (
          <>
            Newest: <strong>{bundleName(is.candidate)}</strong>
          </>
        ) : (
          "No version yet: the artifacts' policies have not chosen any."
        )}
        <Said message={is.message} />
      </p>
      {is.warning && <p class="notice is-waiting warned">{is.warning}</p>}
      {is.commandsIgnored && <p class="notice is-waiting">Commands are not carried out: {is.commandsIgnored}</p>}
      {is.quarantined.map((q) => (
        <Quarantined key={q.bundle.id} is={q} of={is} />
      ))}
      <ol class="line" aria-label="Stages">
        {is.stages.map((stage) => (
          <Stage key={stage.name} stage={stage} of={is} />
        ))}
      </ol>
      <Panel title="Versions and stages" aside="the newest first">
        <Matrix of={is} stages={is.stages.map((stage) => stage.name)} />
      </Panel>
      <div class="columns">
        <div>
          <Panel title="How it promotes">
            <Properties of={is.properties} />
          </Panel>
          <Panel title="Conditions">
            <Conditions of={is.conditions} />
          </Panel>
        </div>
        <Panel title="Events" aside="the newest first">
          <Events of={is.events} problem={is.eventsProblem} />
        </Panel>
      </div>
    </>
  );
}

/** A stage: what it has, wants and waits for. */
export function Stage({ stage, of }: { stage: PipelineStage; of: PipelineDetail }) {
  const state = stage.state;
  return (
    <li id={`stage-${stage.name}`} class={`stage-card is-${state}`}>
      <h2>
        <Mark state={state} silent /> {stage.name} <span class="word">{stage.phase ?? "not seen yet"}</span>
      </h2>
      <p class="has">
        <strong>{bundleName(stage.has)}</strong>
        <small>
          <Age since={stage.since} ago />
          {stage.by && ` · by ${stage.by}`}
          {stage.commit && (
            <>
              {" · "}
              <a href={commitOf(of, stage.commit)} aria-label={`What commit ${short(stage.commit)} changed in ${stage.name}`}>
                <code>{short(stage.commit)}</code>
              </a>
            </>
          )}
        </small>
      </p>
      {stage.wants && (
        <p class="wants">
          wants <strong>{bundleName(stage.wants)}</strong>
        </p>
      )}
      {stage.message && !isListed(stage) && <p class="message">{stage.message}</p>}
      {(stage.waiting ?? []).length > 0 && (
        <ul class="gates" aria-label={`What ${stage.name} waits for`}>
          {(stage.waiting ?? []).map((gate, i) => (
            <Waiting key={i} gate={gate} />
          ))}
        </ul>
      )}
      {consents(stage).map(([word, given], i) => (
        <p key={i}>
          <Mark state="ready" silent /> {word} by {given.by} <Age since={given.at} ago />
          {given.reason && `: ${given.reason}`}
        </p>
      ))}
      {stage.hold && (
        <p class="held">
          <Mark state="suspended" silent /> held by {stage.hold.by} <Age since={stage.hold.at} ago />
          {stage.hold.reason && `: ${stage.hold.reason}`}
        </p>
      )}
      {stage.pullRequest && <PullRequest is={stage.pullRequest} />}
      {(stage.targets ?? []).length > 1 && (
        <ul class="targets">
          {(stage.targets ?? []).map((target) => (
            <li key={target.name ?? ""}>
              <Mark state={stateOf(target.ready)} /> {target.name} <span class="dim">{target.message}</span>
            </li>
          ))}
        </ul>
      )}
      {(stage.commands ?? []).filter(({ outcome, at }) => outcome !== "Done" && isRecent(at, now.value)).map((command) => (
        <p key={command.verb} class="bad">
          {command.verb} was {command.outcome.toLowerCase()} <Age since={command.at} ago />
          {command.message && `: ${command.message}`}
        </p>
      ))}
      {(stage.pending ?? []).map((command) => (
        <p key={command.verb} class="dim">
          {command.verb} by {command.by}, not taken up yet
        </p>
      ))}
      <Remedies of={stage.remedies} />
      <div class="buttons">
        <Buttons of={buttonsOf(stage, of)} />
      </div>
    </li>
  );
}

/** Tells whether what a stage says about itself stands below it anyway: its gates, or who holds it. */
export function isListed({ phase, waiting, hold }: Pick<PipelineStage, "phase" | "waiting" | "hold">): boolean {
  return (phase === "Waiting" && (waiting ?? []).length > 0) || (phase === "Held" && hold !== undefined);
}

/** What people have allowed for the version that a stage waits to get. */
export function consents({ wants, approvals, overrides }: Pick<PipelineStage, "wants" | "approvals" | "overrides">): [string, Consent][] {
  const about = (of: readonly Consent[] | undefined) => (wants ? (of ?? []).filter((given) => given.bundle === wants.id) : []);
  return [...about(approvals).map((given): [string, Consent] => ["approved", given]), ...about(overrides).map((given): [string, Consent] => ["windows and freezes opened", given])];
}

function Waiting({ gate }: { gate: SluiceGate }) {
  return (
    <li>
      <b>{gate.type}</b> {gate.message}
      {gate.until ? (
        <Countdown since={gate.since} until={gate.until} />
      ) : (
        gate.since && (
          <small class="dim">
            {" "}
            <Age since={gate.since} lasts />
          </small>
        )
      )}
    </li>
  );
}

function PullRequest({ is }: { is: SluicePullRequestStatus }) {
  const text = `Pull request #${is.number} ${is.state ?? ""}`;
  return (
    <p>
      {is.url && safe(is.url) ? (
        <a href={is.url} target="_blank" rel="noreferrer noopener">
          {text} ↗
        </a>
      ) : (
        text
      )}
      {is.frozen && <span class="dim"> {is.frozen}</span>}
    </p>
  );
}

/** What a person can do about a stage as it is. */
function buttonsOf(stage: PipelineStage, of: PipelineDetail): Button[] {
  const button = (verb: string, label: string, does: string): Button => ({ action: { kind: "Pipeline", namespace: of.namespace, name: of.name, stage: stage.name, verb }, label, does });
  const before = earlier(of.matrix, stage.name);
  const waits = (type: string) => (stage.waiting ?? []).some((gate) => gate.type === type);
  const found: Button[] = [];
  if (waits("Approval")) found.push(button("approve", "Approve", `Approves ${bundleName(stage.wants)} for ${stage.name}.`));
  if (stage.wants) found.push(button("promote", "Promote", `Gives ${stage.name} the version ${bundleName(stage.wants)}.`));
  if (stage.hold || stage.phase === "Held") found.push(button("resume", "Resume", `Ends the hold of ${stage.name}.`));
  else found.push({ ...button("hold", "Hold", `Lets nothing come to ${stage.name} until the hold ends.`), needsReason: true });
  if (waits("Window") || waits("Freeze")) {
    found.push({ ...button("override", "Override", `Opens windows and freezes of ${stage.name} for ${bundleName(stage.wants)}.`), danger: true, needsReason: true });
  }
  if (before.length > 0) {
    found.push({ ...button("rollback", "Roll back", `Gives ${stage.name} a version back that it had before, and holds it.`), danger: true, needsReason: true, choices: before });
  }
  return found;
}

/** Ends a quarantine. */
function liftOf(is: Quarantine, of: PipelineDetail): Button {
  const action = { kind: "Pipeline", namespace: of.namespace, name: of.name, verb: "lift", bundle: is.bundle.id, ...(is.stage && { stage: is.stage }) };
  return { action, label: "Lift", does: `Ends the quarantine of ${bundleName(is.bundle)}, so that it may be promoted again.` };
}

/** What a person can do about a pipeline as it is. */
function allButtonsOf(of: PipelineDetail): Button[] {
  return [...of.quarantined.map((is) => liftOf(is, of)), ...of.stages.flatMap((stage) => buttonsOf(stage, of))];
}

/** The versions that a stage had, and that were verified there; the newest first. */
export function earlier(rows: readonly BundleRow[], stage: string): Choice[] {
  const had = rows.filter((row) => !row.quarantined && row.stages.some((is) => is.stage === stage && is.relation === "Had" && is.verdict === "Verified"));
  return had.map((row) => ({ bundle: row.bundle.id, name: bundleName(row.bundle) }));
}

function Quarantined({ is, of }: { is: Quarantine; of: PipelineDetail }) {
  return (
    <div class="notice is-failed beside">
      <p>
        <Mark state="failed" silent /> <b>{bundleName(is.bundle)} is in quarantine</b> <Age since={is.at} lasts />
        {is.stage && `, as it failed in ${is.stage}`}
        {is.by && `, put there by ${is.by}`}
        {is.reason && `: ${is.reason}`}
        {is.until && <>, until <Moment at={is.until} /></>}
      </p>
      <ActionButton {...liftOf(is, of)} />
    </div>
  );
}

const relations: Record<string, string> = { Has: "has it", Had: "had it", Wants: "wants it", Proposes: "proposes it" };
const verdicts: Record<string, CellState> = { Verified: "ready", Failed: "failed", Replaced: "none" };

/** The state of a version in a stage: the verdict on it, or that it is being verified there or on its way. */
function stateOfRelation(is: BundleInStage): CellState {
  if (is.verdict) return verdicts[is.verdict] ?? "unknown";
  return is.relation === "Has" ? "moving" : is.relation === "Had" ? "none" : "waiting";
}

function Matrix({ of, stages }: { of: PipelineDetail; stages: readonly string[] }) {
  const rows = of.matrix;
  if (rows.length === 0) return <p class="dim">No version has come to a stage yet.</p>;
  return (
    <div class="scroll" tabIndex={0} role="group" aria-label="Versions and stages">
      <table class="matrix">
        <thead>
          <tr>
            <th>Version</th>
            {stages.map((stage) => (
              <th key={stage}>{stage}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row.bundle.id}>
              <th scope="row">
                {bundleName(row.bundle)}
                {row.newest && <span class="gate">newest</span>}
                {row.quarantined && <span class="gate bad">quarantined</span>}
              </th>
              {row.stages.map((is) => (
                <td key={is.stage} class={is.relation ? `relation-${is.relation.toLowerCase()}` : ""}>
                  {is.relation && <Mark state={stateOfRelation(is)} silent />}
                  {is.relation && <b> {relations[is.relation] ?? is.relation}</b>}
                  {is.verdict && ` ${is.verdict.toLowerCase()}`}
                  {is.at && (
                    <small>
                      {" "}
                      <Moment at={is.at} />
                      {is.commit && (
                        <>
                          {" · "}
                          <a href={commitOf(of, is.commit)} aria-label={`What commit ${short(is.commit)} changed in ${is.stage}`}>
                            <code>{short(is.commit)}</code>
                          </a>
                        </>
                      )}
                    </small>
                  )}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
