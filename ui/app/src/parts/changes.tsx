// SPDX-License-Identifier: Apache-2.0

// What a commit changed: the markers that it touched, and its files line by line.

import type { Signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { path } from "../api/client";
import { isObject, useResource, type Resource } from "../api/resource";
import type { CommitDetail, CommitFile, CommitMarker, Hunk, ObjectReference } from "../api/types";
import { pageOf } from "../links";
import { count, short } from "../words";
import { Moment } from "./age";
import { Command, safe } from "./command";
import { Loaded, Panel } from "./detail";

/** A commit that the status of an object names. It stays what it is: only one that is not known is read again, as the object changes or until it is fetched. What stands below it comes with it. */
export function Changes({ of, commit, children }: { of: ObjectReference; commit: string; children?: ComponentChildren }) {
  const { kind, namespace, name } = of;
  const mayCome = isObject(kind, namespace, name);
  const address = "/api/v1" + path("commits", kind, namespace, name, commit);
  const found: Signal<Resource<CommitDetail>> = useResource(address, (changed) => !isKnown(found.peek().data) && mayCome(changed), (is: CommitDetail) => (is.pending ? "soon" : undefined));
  return (
    <Loaded of={found.value} what={`commit ${short(commit)}`}>
      {(is) => (
        <>
          <Changed is={is} />
          {children}
        </>
      )}
    </Loaded>
  );
}

function isKnown(commit: CommitDetail | undefined): boolean {
  return commit !== undefined && commit.problem === undefined;
}

/** What is known of a commit, or why nothing is. */
export function Changed({ is }: { is: CommitDetail }) {
  return (
    <>
      <Panel title={`What ${short(is.commit)} changed`} aside={is.problem ? undefined : count(is.files.length, "file") + (is.more ? " and more" : "")}>
        {is.problem ? <p class="notice">{is.problem}</p> : <Told is={is} />}
        <p class="same">
          <Command line={is.command} />{" "}
          {is.url && safe(is.url) && (
            <a href={is.url} target="_blank" rel="noreferrer noopener">
              The same at the forge ↗
            </a>
          )}
        </p>
        {is.markers.length > 0 && <Touched markers={is.markers} />}
      </Panel>
      {is.files.map((file, i) => (
        <File key={file.path} is={file} open={i < 20} />
      ))}
      {is.more && <p class="dim">It changed more files, which are not shown here.</p>}
    </>
  );
}

/** Who made a commit, and when, and why. */
function Told({ is }: { is: CommitDetail }) {
  return (
    <>
      <p class="dim">
        {is.author} <Moment at={is.at} /> <span>in {is.repository.namespace}/{is.repository.name}</span>
        {is.parent && (
          <>
            {" "}
            after <code>{short(is.parent)}</code>
          </>
        )}
      </p>
      {is.message && (
        <pre class="told" tabIndex={0} role="group" aria-label="The message of the commit">
          {is.message.trimEnd()}
        </pre>
      )}
    </>
  );
}

/** The policy of a marker such as apps:podinfo:tag. */
export function policyOf(marker: string): ObjectReference {
  const [namespace = "", name = ""] = marker.split(":");
  return { kind: "ImagePolicy", namespace, name };
}

function Touched({ markers }: { markers: readonly CommitMarker[] }) {
  return (
    <>
      <h3>{count(markers.length, "marker")}</h3>
      <ul class="plain touched">
        {markers.map((marker) => (
          <li key={`${marker.file}:${marker.line}`}>
            <code>{marker.text}</code>
            <p>
              <del>
                <span class="off-screen">before: </span>
                {marker.old ?? "no marker"}
              </del>{" "}
              <span aria-hidden="true">→</span>{" "}
              <ins>
                <span class="off-screen">after: </span>
                {marker.new ?? "no marker"}
              </ins>{" "}
              <span class="dim">
                {marker.file}:{marker.line} · <a href={pageOf(policyOf(marker.marker))}>{marker.marker}</a>
              </span>
            </p>
          </li>
        ))}
      </ul>
    </>
  );
}

function File({ is, open }: { is: CommitFile; open: boolean }) {
  return (
    <details class="panel diff" open={open}>
      <summary>
        <code>{is.path}</code>{" "}
        <span class="dim">
          {is.change === "changed" ? "" : is.change}
          {is.hunks.length > 0 && (
            <>
              {is.change === "changed" ? "" : ", "}
              <span class="off-screen">
                {count(is.added, "line")} added, {count(is.removed, "line")} removed
              </span>
              <span aria-hidden="true">
                +{is.added} −{is.removed}
              </span>
            </>
          )}
        </span>
      </summary>
      {is.hunks.length > 0 && (
        <div class="scroll" tabIndex={0} role="group" aria-label={`Changes of ${is.path}`}>
          {is.hunks.map((hunk) => (
            <Lines key={hunk.new} of={hunk} />
          ))}
        </div>
      )}
      {is.omitted && <p class="dim">Not shown: {is.omitted}.</p>}
    </details>
  );
}

/** A line of a hunk with its numbers before and after. */
export interface Line {
  sign: "+" | "-" | " ";
  text: string;
  old?: number;
  now?: number;
}

/** Numbers the lines of a hunk: one that came has none before, and one that went none after. */
export function numbered(hunk: Hunk): Line[] {
  let { old, new: now } = hunk;
  return hunk.lines.map((line) => {
    const text = line.slice(1);
    if (line.startsWith("+")) return { sign: "+", text, now: now++ };
    if (line.startsWith("-")) return { sign: "-", text, old: old++ };
    return { sign: " ", text, old: old++, now: now++ };
  });
}

const elements = { "+": "ins", "-": "del", " ": "span" } as const;

function Lines({ of }: { of: Hunk }) {
  return (
    <div class="hunk">
      {numbered(of).map((line, i) => {
        const Element = elements[line.sign];
        return (
          <div key={i} class={line.sign === "+" ? "came" : line.sign === "-" ? "went" : undefined}>
            <span class="number" aria-hidden="true">
              {line.old}
            </span>
            <span class="number" aria-hidden="true">
              {line.now}
            </span>
            <Element>
              {line.sign}
              {line.text}
            </Element>
          </div>
        );
      })}
    </div>
  );
}
