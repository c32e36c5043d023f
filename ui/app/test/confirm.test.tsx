// SPDX-License-Identifier: Apache-2.0

import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, expect, it, vi } from "vitest";
import { session } from "../src/api/session";
import { ActionButton, Confirm } from "../src/parts/confirm";

afterEach(() => vi.unstubAllGlobals());

// Only for Pipelines: the log and the event of every other command had no reason either.
it("asks why an object of any kind is suspended, and sends it", async () => {
  HTMLDialogElement.prototype.showModal = () => undefined; // this browser has none
  HTMLDialogElement.prototype.close = () => undefined;
  session.value = { version: "v1", user: "eve", cluster: "c", namespace: "", readOnly: false, canSignOut: false, kinds: [], reconciled: [], missing: [] };
  const sent = vi.fn((_to: string, _request: RequestInit) => Promise.resolve(new Response(null, { status: 204 })));
  vi.stubGlobal("fetch", sent);
  const root = document.createElement("div");
  document.body.append(root);
  const action = { kind: "Kustomization", namespace: "apps", name: "shop", verb: "suspend" };
  await act(() =>
    render(
      <>
        <ActionButton action={action} label="Suspend" does="It is left as it is." />
        <Confirm />
      </>,
      root,
    ),
  );
  await act(() => root.querySelector<HTMLButtonElement>("button.action")?.click());
  const why = root.querySelector<HTMLInputElement>("input[name=reason]");
  expect(why?.required).toBe(false);
  why!.value = " an incident ";
  await act(() => void root.querySelector("form")?.dispatchEvent(new SubmitEvent("submit", { bubbles: true, cancelable: true })));
  expect(JSON.parse(String(sent.mock.calls[0]?.[1]?.body))).toEqual({ ...action, reason: "an incident" });
});
