// SPDX-License-Identifier: Apache-2.0

import { signal, useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import { act } from "../api/client";
import type { Action } from "../api/types";
import { readOnly } from "../api/session";
import { lineOfAction } from "./actions";
import { Command } from "./command";
import { useDialog } from "./dialog";

/** A bundle to choose from. */
export interface Choice {
  bundle: string;
  name: string;
}

/** A button that gives a command. */
export interface Button {
  action: Action;
  label: string;
  /** What it does, in a sentence. */
  does: string;
  danger?: boolean;
  needsReason?: boolean;
  choices?: readonly Choice[];
}

const question = signal<Button | undefined>(undefined);
const answer = signal<{ busy?: boolean; error?: string }>({});

/** A button that gives a command, after a question what for. */
export function ActionButton(props: Button) {
  if (readOnly.value) return null;
  return (
    <button
      type="button"
      class={props.danger ? "action danger" : "action"}
      title={props.does}
      onClick={() => {
        answer.value = {};
        question.value = { ...props };
      }}
    >
      {props.label}
    </button>
  );
}

/** Buttons beside one another. */
export function Buttons({ of }: { of: readonly Button[] }) {
  return of.map((button) => <ActionButton key={button.action.verb} {...button} />);
}

/** The commands of buttons that are not there, as nothing can be changed from here: to hand on to somebody who may. */
export function linesOf(buttons: readonly Button[]): string[] {
  return readOnly.value ? buttons.map(({ action, needsReason }) => lineOfAction(action, needsReason)) : [];
}

/** The dialog that asks before a command is given. What the server refuses is shown as it says it. */
export function Confirm() {
  const reason = useRef<HTMLInputElement>(null);
  const bundle = useRef<HTMLSelectElement>(null);
  const asked = question.value;
  const choices = asked?.choices ?? [];
  const given = useSignal<{ of?: Button; reason?: string; bundle?: string }>({}); // for the command
  const said = given.value.of === asked ? given.value : {};
  const dialog = useDialog(asked !== undefined, () => (question.value = undefined));
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    if (!asked || answer.value.busy) return;
    answer.value = { busy: true };
    const why = reason.current?.value.trim();
    const chosen = bundle.current?.value;
    try {
      await act({ ...asked.action, ...(why && { reason: why }), ...(chosen && { bundle: chosen }) });
      question.value = undefined;
      answer.value = {};
    } catch (err) {
      answer.value = { error: err instanceof Error ? err.message : String(err) };
    }
  };
  return (
    <dialog {...dialog} class="confirm" aria-labelledby="confirm-title">
      {asked && (
        <form onSubmit={(event) => void submit(event)}>
          <h2 id="confirm-title">
            {asked.label} {asked.action.stage ? `${asked.action.stage} of ${asked.action.name}` : asked.action.name}?
          </h2>
          <p>{asked.does}</p>
          {choices.length > 0 && (
            <label>
              Version
              <select ref={bundle} name="bundle" onChange={(event) => (given.value = { ...said, of: asked, bundle: event.currentTarget.value })}>
                {choices.map((choice) => (
                  <option key={choice.bundle} value={choice.bundle}>
                    {choice.name}
                  </option>
                ))}
              </select>
            </label>
          )}
          <label>
            Why{asked.needsReason ? "" : " (optional)"}
            <input
              ref={reason}
              name="reason"
              maxLength={500}
              required={asked.needsReason ?? false}
              autocomplete="off"
              onInput={(event) => (given.value = { ...said, of: asked, reason: event.currentTarget.value.trim() })}
            />
          </label>
          <p class="dim">
            In a terminal <Command line={lineOfAction({ ...asked.action, ...bundleOf(said.bundle ?? choices[0]?.bundle), ...(said.reason && { reason: said.reason }) }, asked.needsReason)} />
          </p>
          {answer.value.error && (
            <p role="alert" class="error">
              {answer.value.error}
            </p>
          )}
          <div class="buttons">
            <button type="button" class="action" onClick={() => (question.value = undefined)}>
              Cancel
            </button>
            <button type="submit" class={asked.danger ? "action primary danger" : "action primary"} disabled={answer.value.busy}>
              {answer.value.busy ? "…" : asked.label}
            </button>
          </div>
        </form>
      )}
    </dialog>
  );
}

const bundleOf = (bundle: string | undefined) => (bundle ? { bundle } : {});
