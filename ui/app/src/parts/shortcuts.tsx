// SPDX-License-Identifier: Apache-2.0

import { signal } from "@preact/signals";
import { letters, setLetters } from "../letters";
import { useDialog } from "./dialog";

const shown = signal(false);

/** Shows the list of keys. */
export function showShortcuts(): void {
  shown.value = true;
}

const keys: [string, string][] = [
  ["Ctrl K", "go to any application, object or screen"],
  ["/", "search in the list"],
  ["g r", "releases"],
  ["g v", "versions"],
  ["g o", "objects"],
  ["g t", "timeline"],
  ["j k ↓ ↑", "next and previous application, in the releases"],
  ["← → h l", "next and previous cell, in the releases"],
  ["Home End", "first and last application, in the releases"],
  ["Enter", "open what is focused"],
  ["T", "next theme"],
  ["?", "this list"],
];

/** The list of keys. */
export function Shortcuts() {
  const dialog = useDialog(shown.value, () => (shown.value = false));
  return (
    <dialog {...dialog} class="shortcuts" aria-labelledby="shortcuts-title">
      <form method="dialog">
        <h2 id="shortcuts-title">Keys</h2>
        <dl>
          {keys.map(([key, does]) => (
            <div key={key}>
              <dt>
                <kbd>{key}</kbd>
              </dt>
              <dd>{does}</dd>
            </div>
          ))}
        </dl>
        <label class="check">
          <input type="checkbox" checked={letters.value} onChange={(event) => setLetters(event.currentTarget.checked)} /> single keys do something; without, only arrows, Home, End, Enter and Ctrl K do
        </label>
        <button class="action" type="submit">
          Close
        </button>
      </form>
    </dialog>
  );
}
