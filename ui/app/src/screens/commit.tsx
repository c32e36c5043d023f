// SPDX-License-Identifier: Apache-2.0

import { path } from "../api/client";
import { isObject, useResource } from "../api/resource";
import type { AutomationDetail as Automation } from "../api/types";
import { pageOf } from "../links";
import { Age } from "../parts/age";
import { Changes } from "../parts/changes";
import { Commands, Copy, commandLine, safe } from "../parts/command";
import { Buttons, linesOf, type Button } from "../parts/confirm";
import { Heading, Loaded, Panel, Said } from "../parts/detail";
import { Mark, stateOf } from "../parts/mark";
import { useTitle } from "../parts/title";
import { flux } from "../kinds";
import { shortRevision } from "./objects";
import { count, short } from "../words";

const kind = "ImageUpdateAutomation";

interface Props {
  namespace: string;
  name: string;
}

/** What an automation wrote to Git, and what it does not write. */
export function CommitScreen({ namespace, name }: Props) {
  useTitle(`Commits of ${name}`);
  const found = useResource<Automation>("/api/v1" + path("automations", namespace, name), isObject(kind, namespace, name));
  const lines = [commandLine("sluice", "get", "automations", "-n", namespace), commandLine("sluice", "explain", "automation", name, "-n", namespace)];
  return (
    <div class="detail">
      <Loaded of={found.value} what={`${kind} ${namespace}/${name}`}>
        {(is) => (
          <>
            <Written is={is} />
            <Commands lines={[...lines, flux("reconcile", { kind, namespace, name }) ?? "", ...linesOf(buttonsOf(is))]} />
          </>
        )}
      </Loaded>
    </div>
  );
}

/** What a person can do about an automation as it is. */
function buttonsOf(is: Automation): Button[] {
  const button = (verb: string, label: string, does: string): Button => ({ action: { kind, namespace: is.namespace, name: is.name, verb }, label, does });
  return [
    button("reconcile", "Run now", "Reads the repository and writes what is outdated, now."),
    is.suspended ? button("resume", "Resume", "Lets it write to Git again.") : button("suspend", "Suspend", "Lets it write nothing to Git until it is resumed."),
  ];
}

function Written({ is }: { is: Automation }) {
  return (
    <>
      <Heading kind={kind} namespace={is.namespace} name={is.name} state={stateOf(is.ready, is.suspended)}>
        <Buttons of={buttonsOf(is)} />
      </Heading>
      <p class="lead">
        {is.source} <span class="dim">· read at</span> <code title={is.revision}>{shortRevision(is.revision) || "nothing yet"}</code>
        <Said message={is.message} />
      </p>
      <div class="columns">
        <div>
          <Panel title="Last commit">
            {is.commit ? (
              <p class="winner">
                <strong>
                  <code>{short(is.commit)}</code>
                </strong>{" "}
                <Copy text={is.commit} what="the commit's hash" />{" "}
                {is.commitURL && safe(is.commitURL) && (
                  <a href={is.commitURL} target="_blank" rel="noreferrer noopener">
                    At the forge ↗
                  </a>
                )}
              </p>
            ) : (
              <p class="dim">It has not pushed any commit yet.</p>
            )}
            {is.pullRequest && <PullRequest is={is.pullRequest} />}
          </Panel>
          <Panel title="Images in Git">
            <Images is={is} />
          </Panel>
        </div>
        <div>
          <Panel title="Markers">
            <Markers is={is} />
          </Panel>
          <Held is={is} />
        </div>
      </div>
      {is.commit && <Changes of={{ kind, namespace: is.namespace, name: is.name }} commit={is.commit} />}
    </>
  );
}

/** A commit in which a stage of a pipeline got what it has. */
export function StageCommitScreen({ namespace, name, commit }: Props & { commit: string }) {
  useTitle(`${short(commit)} of ${name}`);
  const pipeline = { kind: "Pipeline", namespace, name };
  return (
    <div class="detail">
      <div class="heading">
        <div>
          <p class="dim kind">
            Commit <span aria-hidden="true">·</span> Pipeline <a href={pageOf(pipeline)}>{`${namespace}/${name}`}</a>
          </p>
          <h1>{short(commit)}</h1>
        </div>
      </div>
      <Changes of={pipeline} commit={commit}>
        <Commands lines={[commandLine("sluice", "pipeline", "history", name, "-n", namespace)]} />
      </Changes>
    </div>
  );
}

function PullRequest({ is }: { is: NonNullable<Automation["pullRequest"]> }) {
  return (
    <>
      <p>
        {is.url && safe(is.url) ? (
          <a href={is.url} target="_blank" rel="noreferrer noopener">
            Pull request #{is.number} ↗
          </a>
        ) : (
          `Pull request #${is.number}`
        )}{" "}
        {is.state} <span class="dim">from</span> <code>{is.branch}</code> <span class="dim">into</span> <code>{is.base}</code>
      </p>
      {is.waitsFor && <p>Waits for {is.waitsFor}</p>}
      {is.frozen && <p>Keeps what it proposes: {is.frozen}</p>}
      {is.autoMerge && <p class="dim">The forge was asked to merge it by itself.</p>}
    </>
  );
}

function Images({ is }: { is: Automation }) {
  const written = Object.entries(is.written ?? {});
  if (written.length === 0) return <p class="dim">None: no policy of this automation has a marker in the repository.</p>;
  return (
    <div class="scroll" tabIndex={0} role="group" aria-label="Images in Git">
      <table>
        <thead>
          <tr>
            <th>Policy</th>
            <th>Image</th>
            <th>Tag</th>
          </tr>
        </thead>
        <tbody>
          {written.map(([policy, image]) => (
            <tr key={policy}>
              <th scope="row">
                <a href={pageOf({ kind: "ImagePolicy", namespace: is.namespace, name: policy })}>{policy}</a>
              </th>
              <td>
                <code>{image.name}</code>
              </td>
              <td>
                <code title={image.digest}>{image.tag}</code>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Markers({ is }: { is: Automation }) {
  const markers = is.markers;
  if (!markers || markers.total === 0) {
    return (
      <p>
        None was found. Put one behind the value that is to be written:
        <br />
        <code>{`image: ghcr.io/org/app:1.0.0 # {"$imagepolicy": "${is.namespace}:app"}`}</code>
      </p>
    );
  }
  return (
    <>
      <p>
        {count(markers.total, "marker")}: {markers.current} current{markers.held ? `, ${markers.held} held` : ""}
      </p>
      <ul class="plain">
        {(markers.skipped ?? []).map((skipped) => (
          <li key={skipped.reason}>
            <Mark state="failed" silent /> {skipped.count} without effect: {skipped.reason} {skipped.example && <code>{skipped.example}</code>}
          </li>
        ))}
      </ul>
    </>
  );
}

function Held({ is }: { is: Automation }) {
  const held = is.held ?? [];
  const declined = is.declined ?? [];
  if (held.length === 0 && declined.length === 0) return null;
  return (
    <Panel title="Not written">
      <ul class="plain">
        {held.map((one) => (
          <li key={one.policy}>
            <Mark state="waiting" silent /> <b>{one.policy}</b> {one.ref.tag}: reverted{one.by && <> by {short(one.by)}</>} <Age since={one.since} ago />
          </li>
        ))}
        {declined.map((one) => (
          <li key={one.digest}>
            <Mark state="waiting" silent /> Pull request #{one.number} was closed{one.by && ` by ${one.by}`} <Age since={one.at} ago />: the same is not proposed again
          </li>
        ))}
      </ul>
    </Panel>
  );
}
