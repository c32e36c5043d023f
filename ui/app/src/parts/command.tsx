// SPDX-License-Identifier: Apache-2.0

import { useSignal } from "@preact/signals";
import { session } from "../api/session";
import type { Remedy } from "../api/types";

/** Puts text into the clipboard; the old way where the page came by plain HTTP. */
export async function copy(text: string): Promise<void> {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "off-screen";
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

/** A button that copies, and says so. */
export function Copy(props: { text: string; label?: string; what?: string; tabIndex?: number | undefined }) {
  const done = useSignal<"" | "copied" | "not copied">("");
  const press = () =>
    copy(props.text).then(
      () => (done.value = "copied"),
      () => (done.value = "not copied"),
    );
  return (
    <button
      type="button"
      class="copy"
      tabIndex={props.tabIndex}
      onClick={(event) => {
        event.stopPropagation();
        void press();
      }}
      onBlur={() => (done.value = "")}
    >
      {done.value || (props.label ?? "copy")} <span class="off-screen">{props.what ?? props.text}</span>
    </button>
  );
}

/** A command line of words, each of which a shell reads as it is: names come from addresses, which anybody can make up. */
export function commandLine(...words: readonly string[]): string {
  return words.map(quoted).join(" ");
}

function quoted(word: string): string {
  return /^[\w.,:/=@+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** Flags of a command about all that the page looks at: of one namespace, or of all. */
export function scopeFlags(): string[] {
  const namespace = session.value?.namespace;
  return namespace ? ["-n", namespace] : ["-A"];
}

/** A command line that does what the page does, to copy. */
export function Command(props: { line: string; tabIndex?: number | undefined }) {
  return (
    <span class="command">
      <code title={props.line}>{props.line}</code>
      <Copy text={props.line} tabIndex={props.tabIndex} />
    </span>
  );
}

/** The commands that do the same as a screen. */
export function Commands(props: { lines: string[] }) {
  return (
    <footer class="commands" aria-label="The same in a terminal">
      <span class="dim">In a terminal</span>
      {props.lines.map((line) => (
        <Command key={line} line={line} />
      ))}
    </footer>
  );
}

/** The command line of a remedy. */
export function lineOf(remedy: Remedy): string {
  return remedy.command ? `${remedy.program ?? "sluice"} ${remedy.command}` : "";
}

/** What a person can do: a command to copy, a page to go to, or words alone. In a grid, the tabulator comes here from one row only. */
export function Remedies(props: { of: readonly Remedy[] | undefined; tabIndex?: number | undefined }) {
  if (!props.of?.length) return null;
  return (
    <ul class="remedies">
      {props.of.map((remedy, i) => (
        <li key={i}>
          {remedy.url && safe(remedy.url) ? (
            <a href={remedy.url} target="_blank" rel="noreferrer noopener" tabIndex={props.tabIndex}>
              {remedy.text} ↗
            </a>
          ) : (
            <span>{remedy.text}</span>
          )}
          {remedy.command && <Command line={lineOf(remedy)} tabIndex={props.tabIndex} />}
        </li>
      ))}
    </ul>
  );
}

/** Only pages are linked to: what stands in a status is not always ours. */
export function safe(url: string): boolean {
  return /^https?:\/\//i.test(url);
}
