// SPDX-License-Identifier: Apache-2.0

import { readFileSync } from "node:fs";
import { render, type ComponentChild } from "preact";
import { act } from "preact/test-utils";
import { describe, expect, it } from "vitest";
import { session } from "../src/api/session";
import { lineOfAction } from "../src/parts/actions";
import { ActionButton, Confirm } from "../src/parts/confirm";
import { CanaryScreen } from "../src/screens/canary";
import { CommitScreen } from "../src/screens/commit";
import { ObjectScreen } from "../src/screens/object";
import { PipelineScreen } from "../src/screens/pipeline";
import * as details from "./fixture/details";
import { usePage } from "./fixture/page";

const canary = { kind: "Canary", namespace: "apps", name: "podinfo" };
const pipeline = { kind: "Pipeline", namespace: "apps", name: "shop" };

describe("the command of a button", () => {
  const cases: [string, Parameters<typeof lineOfAction>, string][] = [
    ["a Canary", [{ ...canary, verb: "promote", reason: "its log only has it" }], "sluice canary promote podinfo -n apps"],
    ["a Canary that is suspended", [{ ...canary, verb: "resume" }], "sluice resume canary podinfo -n apps"],
    ["an object", [{ kind: "Kustomization", namespace: "apps", name: "shop", verb: "suspend" }], "sluice suspend kustomization shop -n apps"],
    ["a stage", [{ ...pipeline, stage: "dev", verb: "approve", reason: "it's fine" }], `sluice pipeline approve shop dev -n apps --reason 'it'\\''s fine'`],
    ["a stage, to an earlier version", [{ ...pipeline, stage: "dev", verb: "rollback", bundle: "b1" }, true], "sluice pipeline rollback shop dev -n apps --to b1 --reason WHY"],
    ["a quarantine", [{ ...pipeline, verb: "lift", bundle: "b1" }], "sluice pipeline lift shop -n apps --bundle b1"],
    ["a stage that is held", [{ ...pipeline, stage: "dev", verb: "resume" }], "sluice pipeline resume shop dev -n apps"],
  ];
  it.each(cases)("of %s", (_, args, want) => expect(lineOfAction(...args)).toBe(want));

  const documented = readFileSync("../../docs/cli.md", "utf8");
  const actions = [
    ...["approve", "halt", "pause", "abort", "promote", "retry"].map((verb) => ({ ...canary, verb })),
    ...["approve", "hold", "resume", "promote", "rollback", "override", "lift"].map((verb) => ({ ...pipeline, stage: "dev", bundle: "b1", reason: "w", verb })),
    ...["reconcile", "suspend", "resume"].map((verb) => ({ ...canary, verb })),
  ];
  it.each(actions.map((action) => [action.verb, action] as const))("%s is one that there is, with its flags", (_, action) => {
    const words = lineOfAction(action).split(" ");
    const [section] = documented.split(`## ${words.slice(0, words.indexOf(action.verb) + 1).join(" ")}\n`).slice(1);
    expect(section).toBeDefined();
    for (const flag of words.filter((word) => word.startsWith("--"))) expect(section?.split("\n## ")[0]).toContain("`" + flag + "`");
  });
});

describe("who may not press a button", () => {
  const page = usePage();
  const commands = async (screen: ComponentChild, answer: object) => {
    await page.show(screen, (address) => Response.json(address.includes("/commits/") ? details.commit("89abcdef") : answer));
    return page.texts(".commands code");
  };
  const screens: [string, ComponentChild, object, string[]][] = [
    ["Canary", <CanaryScreen namespace="apps" name="podinfo" />, details.canary("apps", "podinfo"), ["sluice canary promote podinfo -n apps", "sluice canary abort podinfo -n apps"]],
    ["Pipeline", <PipelineScreen namespace="shop" name="shop" />, details.pipeline("shop", "shop"), ["sluice pipeline hold shop dev -n shop --reason WHY"]],
    ["Kustomization", <ObjectScreen kind="Kustomization" namespace="apps" name="shop" />, details.object("Kustomization", "apps", "shop"), ["sluice suspend kustomization shop -n apps"]],
    ["automation", <CommitScreen namespace="apps" name="fleet" />, details.automation("apps", "fleet"), ["sluice reconcile imageupdateautomation fleet -n apps"]],
  ];
  it.each(screens)("gets the commands of a %s to hand on, and who may has buttons instead", async (_, screen, answer, want) => {
    session.value = { ...details.session, readOnly: true };
    expect(await commands(screen, answer)).toEqual(expect.arrayContaining(want));
    render(null, page.root);
    session.value = { ...details.session, readOnly: false };
    const lines = await commands(screen, answer);
    for (const line of want) expect(lines).not.toContain(line);
  });

  it("reads the command in the dialog, with the reason and the version as they are given", async () => {
    HTMLDialogElement.prototype.showModal = () => undefined; // this browser has none
    HTMLDialogElement.prototype.close = () => undefined;
    session.value = { ...details.session, readOnly: false };
    const choices = [{ bundle: "b2", name: "2" }, { bundle: "b1", name: "1" }];
    const button = <ActionButton action={{ ...pipeline, stage: "dev", verb: "rollback" }} label="Roll back" does="Gives it back." needsReason choices={choices} />;
    await act(() => render([button, <Confirm />], page.root));
    await act(() => page.root.querySelector<HTMLButtonElement>("button.action")?.click());
    const line = () => page.root.querySelector(".confirm .command code")?.textContent;
    expect(line()).toBe("sluice pipeline rollback shop dev -n apps --to b2 --reason WHY");
    const give = (name: string, value: string, event: string) =>
      act(async () => {
        const field = page.root.querySelector<HTMLInputElement>(`[name=${name}]`);
        field!.value = value;
        field!.dispatchEvent(new Event(event, { bubbles: true }));
      });
    await give("reason", "it is slow", "input");
    await give("bundle", "b1", "change");
    expect(line()).toBe("sluice pipeline rollback shop dev -n apps --to b1 --reason 'it is slow'");
  });
});
