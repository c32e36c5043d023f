// SPDX-License-Identifier: Apache-2.0

import { describe, expect, it } from "vitest";
import type { CellState, TimelineEvent } from "../src/api/types";
import { kindsOf } from "../src/kinds";
import { pageOf, pageOfCell } from "../src/links";
import { sentence } from "../src/parts/announcer";
import { safe } from "../src/parts/command";
import { spoken } from "../src/parts/lane";
import { numbered, policyOf } from "../src/parts/changes";
import { placesOf, search, withObjects } from "../src/parts/palette";
import { offsets, range } from "../src/parts/virtual";
import { compareLines } from "../src/screens/objects";
import { treeOf } from "../src/screens/object";
import { failures, isAbout } from "../src/screens/canary";
import { bundleName, consents, earlier, isListed, stateOfPipeline } from "../src/screens/pipeline";
import { commandOf, draftOf, filterOf, funnelOf, gateWord, judgedElsewhere, queryOf } from "../src/screens/policy";
import { groupOf, matches } from "../src/screens/releases";
import { filter, hopsOf, markdown } from "../src/screens/timeline";
import { compareTags, versionsOf } from "../src/screens/versions";
import { laneOf, lanes, withCell } from "./fixture/lanes";

const podinfo = laneOf("apps", "podinfo", "6.0.0", "0123456");

describe("rows of a long list", () => {
  const starts = offsets([50, 100, 50, 50], 10);
  it("begin after those before them", () => expect(starts).toEqual([0, 60, 170, 230, 290]));
  it.each([
    ["those in sight are drawn", 60, 170, [1, 2]],
    ["one that is half in sight is drawn", 100, 180, [1, 3]],
    ["none is drawn above the list", -500, -100, [0, 0]],
    ["none is drawn below it", 1000, 2000, [4, 4]],
  ])("%s", (_, top, bottom, want) => expect(range(starts, top, bottom)).toEqual(want));
  it("are none in an empty list", () => expect(range(offsets([]), 0, 100)).toEqual([0, 0]));
});

describe("the search of releases", () => {
  it.each([
    ["", true],
    ["POD apps", true],
    ["0123", true],
    ["ghcr.io/acme/podinfo", true],
    ["podinfo shop", false],
  ])("%s", (text, want) => expect(matches(podinfo, text)).toBe(want));
  it("counts every lane in one group", () => {
    const groups = lanes(40).map((lane) => groupOf(lane.state));
    expect(groups.filter((group) => group === "failed")).toHaveLength(2);
  });
  it("does not count what is suspended or not known among what is at rest", () => {
    expect((["suspended", "unknown", "ready"] as const).map(groupOf)).toEqual(["unknown", "unknown", "ready"]);
  });
});

describe("what a lane says", () => {
  it("is the cell that failed, with its message", () => {
    const lane = withCell(podinfo, "apply", { state: "failed", message: "no" });
    expect(spoken(lane)).toMatchObject({ column: "apply", message: "no" });
  });
  it("is the stage that waits, if no cell does", () => {
    const stage = { pipeline: "p", namespace: "apps", name: "production", state: "waiting" as const };
    expect(spoken({ ...podinfo, state: "waiting", column: "live", stages: [stage] })).toBe(stage);
  });
  it("is nothing while nobody is needed", () => expect(spoken(withCell(podinfo, "canary", { state: "moving" }))).toBeUndefined());
  it("is told in a sentence, or counted if much changes", () => {
    const change = { lane: withCell(podinfo, "apply", { state: "failed" }), before: "ready" as const };
    expect(sentence([change])).toBe("podinfo in apps: Apply failed");
    expect(sentence([change, change, change, change])).toBe("4 applications changed, 4 failed");
  });
});

describe("links", () => {
  it("escape names", () => expect(pageOf({ kind: "Canary", namespace: "a", name: "b/c" })).toBe("/canary/a/b%2Fc"));
  it("lead to objects of the cluster", () => expect(pageOf({ kind: "Freeze", namespace: "", name: "xmas" })).toBe("/objects/Freeze/-/xmas"));
  it("explain an image by its policy, unless its scan failed", () => {
    expect(pageOfCell(podinfo, podinfo.cells[0]!)).toBe("/policy/apps/podinfo");
    const failed = withCell(podinfo, "image", { state: "failed" });
    expect(pageOfCell(failed, failed.cells[0]!)).toBe("/objects/ImageRepository/apps/podinfo");
  });
  it("go to pages only", () => {
    expect(safe("https://forge.example/pulls/1")).toBe(true);
    expect(safe("javascript:alert(1)")).toBe(false);
  });
});

describe("a hunk of a file", () => {
  it("numbers lines as they were and as they are", () => {
    const lines = numbered({ old: 7, new: 9, lines: [" a", "-b", "-c", "+d", " e"] });
    expect(lines.map((l) => `${l.old ?? ""}|${l.now ?? ""}|${l.sign}${l.text}`)).toEqual(["7|9| a", "8||-b", "9||-c", "|10|+d", "10|11| e"]);
  });
  it("leads to the policy of a marker", () => expect(pageOf(policyOf("apps:podinfo:tag"))).toBe("/policy/apps/podinfo"));
});

describe("the palette", () => {
  it("finds names that begin with the word first", () => {
    const places = [podinfo, laneOf("pod", "cart", "1", "1")].flatMap(placesOf);
    const found = search(places, "pod");
    expect(found[0]?.title).toBe("podinfo");
    expect(found.some((place) => place.title === "cart")).toBe(true);
    expect(search(places, "podinfo canary")[0]?.to).toBe("/canary/apps/podinfo");
  });
  it("has each object once, whether a lane has it or only the server", () => {
    const found = withObjects(search(placesOf(podinfo), "podinfo canary"), [
      { kind: "Canary", namespace: "apps", name: "podinfo" },
      { kind: "Receiver", namespace: "apps", name: "podinfo" },
      { kind: "Freeze", namespace: "", name: "podinfo" },
    ]);
    expect(found.map((place) => `${place.to} ${place.detail}`)).toEqual([
      "/canary/apps/podinfo apps · Canary · Canary podinfo",
      "/objects/Receiver/apps/podinfo apps · Receiver",
      "/objects/Freeze/-/podinfo of the cluster · Freeze",
    ]);
  });
});

describe("the screen of a Canary", () => {
  it("is about the workloads of its target, whose name may be another one", () => {
    const about = (kind: string, name: string, namespace = "apps") => isAbout({ namespace: "apps", name: "web" }, "Deployment/frontend", { kind, namespace, name });
    expect([about("Canary", "web"), about("Deployment", "frontend"), about("Deployment", "frontend-primary")]).toEqual([true, true, true]);
    expect([about("Deployment", "web"), about("Kustomization", "frontend"), about("Deployment", "frontend", "shop")]).toEqual([false, false, false]);
  });
});

describe("another rule of a policy", () => {
  const none = { kind: "", range: "", order: "", pattern: "", extract: "", noPattern: false };
  it("is not asked for while nothing is tried", () => expect(queryOf(none)).toBe(""));
  it("is in the address as it is asked for, and is read from there", () => {
    for (const draft of [{ kind: "semver", range: "^2" }, { kind: "numerical", order: "desc", pattern: "^v(.*)$", extract: "$1" }, { noPattern: true }, {}]) {
      const all = { ...none, ...draft };
      expect(draftOf(new URLSearchParams(queryOf(all)))).toEqual(all);
    }
  });
  it("begins with the pattern of the policy, and has it where no other one is tried", () => {
    const own = { pattern: "^main-(?P<n>\\d+)$", extract: "$n" };
    expect(filterOf(own, none)).toEqual(own);
    expect(filterOf(own, { ...none, extract: "$1" })).toEqual({ ...own, extract: "$1" });
    expect(filterOf(own, { ...none, noPattern: true })).toEqual({ pattern: "", extract: "" });
    expect(filterOf({}, none)).toEqual({ pattern: "", extract: "" });
  });
  it("leaves out what its kind does not have", () => {
    expect(queryOf({ ...none, kind: "numerical", range: "1.x", order: "desc" })).toBe("?kind=numerical&order=desc");
  });
  it("is told as a command that a shell takes", () => {
    expect(commandOf("apps", "podinfo", { ...none, kind: "semver", range: ">=1.0.0 <2.0.0", pattern: "^it's(.*)$" })).toBe(
      `sluice explain policy podinfo -n apps --range '>=1.0.0 <2.0.0' --pattern '^it'\\''s(.*)$'`,
    );
  });
  it("can have no pattern, though the policy has one", () => {
    const draft = { ...none, pattern: "^v(.*)$", extract: "$1", noPattern: true };
    expect(queryOf(draft)).toBe("?pattern=");
    expect(commandOf("apps", "podinfo", draft)).toBe("sluice explain policy podinfo -n apps --pattern ''");
  });
  it("has another extract of the pattern of the policy", () => expect(queryOf({ ...none, extract: "$v" })).toBe("?extract=%24v"));
  it("counts what each gate left, in the order of the gates, also of the tags that are left out", () => {
    const gates = [{ gate: "minAge", dropped: 1 }, { gate: "policy", dropped: 9000 }, { gate: "filterTags", dropped: 2 }];
    expect(funnelOf({ total: 9010, gates }).map(({ gate, left }) => [gate, left])).toEqual([["filterTags", 9008], ["policy", 8], ["minAge", 7]]);
  });
});

describe("words", () => {
  it("say how many failed checks roll a release back, not that one of so many checks failed", () => {
    expect([failures(1, 3), failures(0, 1), failures(2, 5)]).toEqual(["1 check failed; 3 roll it back", "no check failed; 1 rolls it back", "2 checks failed; 5 roll it back"]);
  });
  it("say what is true of the tags that are left, not which field of the spec left them", () => {
    const gates = ["exclusionList", "filterTags", "policy", "pin", "reject.tag", "registry", "quarantine", "minAge", "platform", "reject.digest", "verify"];
    expect(gates.map((gate) => gateWord(gate, "semver 1.x")).join(", ")).toBe(
      "not excluded, matching the pattern, in the range, pinned, not rejected, found in the registry, not in quarantine, old enough, of the platforms, not rejected by digest, signed",
    );
    expect([gateWord("policy", "numerical asc"), gateWord("policy", "alphabetical desc"), gateWord("new", "")]).toEqual(["that are numbers", "in the order", "after new"]);
  });
});

describe("a bundle", () => {
  it("is called by its tag, by each of them, or by its id", () => {
    expect(bundleName({ id: "b1", versions: [{ artifact: "a", tag: "1" }, { artifact: "b", tag: "1" }] })).toBe("1");
    expect(bundleName({ id: "b1", versions: [{ artifact: "a", tag: "1" }, { artifact: "b", tag: "2" }] })).toBe("a 1, b 2");
    expect(bundleName({ id: "0123456789abcdef" })).toBe("0123456");
    expect(bundleName(undefined)).toBe("–");
  });
});

describe("a rollback", () => {
  it("goes to what was verified in the stage, and is not in quarantine", () => {
    const row = (id: string, verdict: string, more = {}) => ({ bundle: { id }, stages: [{ stage: "staging", relation: "Had", verdict }], ...more });
    const rows = [row("d", "Verified", { quarantined: true }), row("c", "Failed"), row("b", "Verified"), row("a", "Verified")];
    expect(earlier(rows, "staging").map((choice) => choice.bundle)).toEqual(["b", "a"]);
    expect(earlier(rows, "production")).toEqual([]);
  });
});

describe("a pipeline", () => {
  const of = (ready: string, ...states: CellState[]) => stateOfPipeline({ ready, stages: states.map((state) => ({ name: state, state, remedies: [] })) });
  it.each([
    ["waits as long as a stage waits for somebody", of("Unknown", "ready", "moving", "waiting"), "waiting"],
    ["moves while no stage needs anybody", of("Unknown", "ready", "moving"), "moving"],
    ["is ready when all its stages are", of("True", "ready", "ready"), "ready"],
    ["has failed when it says so, whatever its stages do", of("False", "moving"), "failed"],
  ])("%s", (_, got, want) => expect(got).toBe(want));
  it("says once what a stage waits for", () => {
    const waiting = [{ type: "Approval" as const, message: "0 of 1 approvals" }];
    expect([isListed({ phase: "Waiting", waiting }), isListed({ phase: "Held", hold: { by: "eve", at: "" } })]).toEqual([true, true]);
    expect([isListed({ phase: "Waiting" }), isListed({ phase: "Proposed", waiting }), isListed({ phase: "Failed" })]).toEqual([false, false, false]);
  });
  it("tells who allowed the version that a stage wants, and nothing of others", () => {
    const given = (bundle: string, by: string) => ({ bundle, by, at: "2026-01-01T00:00:00Z" });
    const is = { wants: { id: "2" }, approvals: [given("1", "ann"), given("2", "bob")], overrides: [given("2", "eve")] };
    expect(consents(is).map(([word, { by }]) => `${word} by ${by}`)).toEqual(["approved by bob", "windows and freezes opened by eve"]);
    expect(consents({ approvals: is.approvals })).toEqual([]);
  });
});

describe("a policy", () => {
  const is = { forTheController: ["minAge", "verify"], signatureVerified: true };
  it("says that the chosen image is signed, if the controller has verified that", () => {
    expect(judgedElsewhere(is, false)).toBe("Its signature was verified.");
    expect(judgedElsewhere({ ...is, signatureVerified: false }, false)).toBe("");
    expect(judgedElsewhere({ forTheController: ["verify"] }, false)).toBe("");
  });
  it("says what of it is not tried with another rule", () => {
    expect(judgedElsewhere(is, true)).toContain("Not tried: minAge, verify.");
    expect(judgedElsewhere({}, true)).toBe("");
  });
});

describe("versions", () => {
  it("are ordered as semantic versions, and else by the numbers in them", () => {
    const sorted = (...tags: string[]) => tags.sort(compareTags).join(" ");
    expect(sorted("1.10.0", "1.9.0", "v1.9.1", "1.10.0-rc.2", "1.10.0-rc.10", "2")).toBe("1.9.0 v1.9.1 1.10.0-rc.2 1.10.0-rc.10 1.10.0 2");
    expect(sorted("main-10-ab", "main-9-cd")).toBe("main-9-cd main-10-ab");
  });
  const of = (is: (typeof podinfo)[]) =>
    versionsOf(is).map((image) => {
      const places = image.places.map((place) => `${place.name}${place.detail ? ` ${place.detail}` : ""}: ${image.tags.flatMap((tag) => (place.standings.has(tag) ? `${tag} ${place.standings.get(tag)?.word} ${place.standings.get(tag)?.state}` : [])).join(", ")}`);
      return [image.image, image.tags.join(" "), ...places];
    });
  const lane = (namespace: string, tag: string) => ({ ...laneOf(namespace, "podinfo", tag, "0123456"), image: "podinfo" });
  it("of an image stand beside one another, one column for each place", () => {
    const other = { ...laneOf("a", "cart", "1", "0"), image: "cart" };
    expect(of([lane("prod", "1.0.0"), other, lane("dev", "1.1.0")])).toEqual([
      ["podinfo", "1.1.0 1.0.0", "dev: 1.1.0 live ready", "prod: 1.0.0 live ready"],
      ["cart", "1", "a: 1 live ready"],
    ]);
  });
  it("are on their way by a canary, or went back", () => {
    const moving = { ...withCell(lane("a", "1.0.0"), "canary", { state: "moving", value: "20 %" }), coming: "1.1.0" };
    const failed = { ...withCell(lane("b", "1.0.0"), "canary", { state: "failed", value: "Failed" }), coming: "1.1.0" };
    expect(of([moving, failed])[0]?.slice(2)).toEqual(["a: 1.1.0 20 % moving, 1.0.0 live ready", "b: 1.1.0 rolled back failed, 1.0.0 live ready"]);
  });
  it("are held at their share of the users, or before anybody has them", () => {
    const held = (value: string) => ({ ...withCell(lane("a", "1.0.0"), "canary", { state: "waiting", value }), coming: "1.1.0" });
    expect([of([held("20 %")]), of([held("Waiting")])].map((is) => is[0]?.[2])).toEqual([
      "a: 1.1.0 held at 20 % waiting, 1.0.0 live ready",
      "a: 1.1.0 held waiting, 1.0.0 live ready",
    ]);
  });
  it("are chosen before they are anywhere, unless a pipeline decides", () => {
    const chosen = withCell(lane("a", "1.0.0"), "policy", { state: "ready", value: "2.0.0" });
    const stage = { pipeline: "shop", namespace: "shop", name: "dev", state: "moving" as const, has: "1.0.0", wants: "1.1.0" };
    expect(of([chosen])[0]?.[2]).toBe("a: 2.0.0 chosen moving, 1.0.0 live ready");
    const staged = { ...chosen, stages: [{ ...stage, here: true }, { ...stage, name: "far", wants: "" }] };
    expect(of([staged])[0]?.slice(2)).toEqual(["a: 1.1.0 wanted moving, 1.0.0 live ready", "far stage of shop: 1.0.0 has it ready"]);
  });
  it("are not wanted since the one before them is there", () => {
    const stage = { pipeline: "shop", namespace: "shop", name: "dev", state: "waiting" as const, here: true, has: "1.0.0", wants: "1.1.0", since: "2026-01-01T00:00:00Z" };
    const wanted = (more: object) => versionsOf([{ ...lane("a", "1.0.0"), stages: [{ ...stage, ...more }] }])[0]?.places[0]?.standings.get("1.1.0");
    expect(wanted({})).toMatchObject({ word: "wanted", since: undefined });
    expect(wanted({ waitingSince: "2026-02-02T00:00:00Z" })?.since).toBe("2026-02-02T00:00:00Z");
  });
  it("of two applications in a namespace are told apart", () => {
    expect(of([lane("a", "1"), { ...lane("a", "2"), name: "worker", key: "w" }])[0]?.slice(2)).toEqual(["a podinfo: 1 live ready", "a worker: 2 live ready"]);
  });
});

describe("the lead time", () => {
  it("is not known of a step whose time is not known, or is that of another version", () => {
    const at = (column: "image" | "policy" | "commit" | "source" | "apply", minute: number) => ({ column, state: "ready" as const, since: `2026-05-01T12:0${minute}:00Z` });
    const waiting = { ...at("apply", 9), state: "waiting" as const };
    const lane = { ...podinfo, cells: [at("image", 1), at("policy", 2), { column: "commit" as const, state: "none" as const }, at("source", 1), waiting] };
    expect(hopsOf(lane)).toEqual([{ name: "Image to Policy", seconds: 60 }, { name: "Policy to Source" }]);
    const chosen = { column: "policy" as const, state: "ready" as const };
    expect(hopsOf({ ...podinfo, cells: [at("image", 1), chosen, at("source", 3), at("apply", 4)] })).toEqual([
      { name: "Image to Policy" },
      { name: "Policy to Source" },
      { name: "Source to Apply", seconds: 60 },
    ]);
  });
  it("is nothing from a canary to pods that were live before it had done its work", () => {
    const at = (column: "canary" | "live", minute: number) => ({ column, state: "ready" as const, since: `2026-05-01T12:0${minute}:00Z` });
    expect(hopsOf({ ...podinfo, cells: [at("canary", 2), at("live", 1)] })).toEqual([{ name: "Canary to Live", seconds: 0 }]);
  });
  it("ends where somebody else's commit is: it was the time since their push", () => {
    const at = (column: "image" | "commit" | "source" | "apply", minute: number, full: string) => ({ column, state: "ready" as const, since: `2026-05-01T12:0${minute}:00Z`, full });
    const own = "0123456789012345678901234567890123456789";
    const lane = (source: string, apply: string) => ({ ...podinfo, cells: [at("image", 1, "app:1"), at("commit", 2, own), at("source", 3, `main@sha1:${source}`), at("apply", 5, `main@sha1:${apply}`)] });
    const names = (source: string, apply: string) => hopsOf(lane(source, apply)).map((hop) => hop.name);
    expect(names(own, own)).toEqual(["Image to Commit", "Commit to Source", "Source to Apply"]);
    expect(names(own, "f".repeat(40))).toEqual(["Image to Commit", "Commit to Source"]);
    expect(names("f".repeat(40), own)).toEqual(["Image to Commit"]);
    const cells = [at("source", 3, "main@sha1:a"), at("apply", 4, "main@sha1:b")];
    expect(hopsOf({ ...podinfo, cells })).toEqual([]);
  });
  it("ends where the version is: what is live meanwhile is another one", () => {
    const at = (column: "image" | "apply" | "canary" | "live", minute: number) => ({ column, state: "ready" as const, since: `2026-05-01T12:0${minute}:00Z` });
    const cells = [at("image", 1), at("apply", 2), { ...at("canary", 3), state: "moving" as const }, at("live", 4)];
    expect(hopsOf({ ...podinfo, cells })).toEqual([{ name: "Image to Apply", seconds: 60 }]);
  });
});

describe("objects", () => {
  it("that failed come first", () => {
    const line = (name: string, ready: string) => ({ kind: "K", namespace: "n", name, ready, since: "2026-05-01T12:00:00Z" });
    expect([line("a", "True"), line("b", "False"), line("c", "Unknown")].sort(compareLines).map((l) => l.name)).toEqual(["b", "c", "a"]);
  });
  it("stand in a tree by namespace and kind", () => {
    const object = (kind: string, namespace: string, name: string) => ({ kind, namespace, name });
    const tree = treeOf([object("Service", "b", "x"), object("Deployment", "b", "x"), object("Namespace", "", "b"), object("Service", "b", "y")]);
    expect(tree.map(([namespace, kinds]) => [namespace, kinds.map(([kind, all]) => `${kind} ${all.length}`)])).toEqual([
      ["b", ["Deployment 1", "Service 2"]],
      ["in no namespace", ["Namespace 1"]],
    ]);
  });
});

describe("a timeline", () => {
  const event = (time: string, message: string, changes: Partial<TimelineEvent> = {}): TimelineEvent => ({ kind: "Canary", namespace: "apps", name: "podinfo", time, type: "Normal", reason: "Synced", message, count: 1, ...changes });
  const events = [event("2026-05-01T12:00:00Z", "first"), event("2026-05-01T12:02:00Z", "a | b <c>\nd", { type: "Warning", count: 3 })];
  it("shows the newest first, and what is asked for", () => {
    expect(filter(events, { kind: "", warnings: false, text: "" }).map((e) => e.message)[1]).toBe("first");
    expect(filter(events, { kind: "", warnings: true, text: "" })).toHaveLength(1);
    expect(filter(events, { kind: "Pipeline", warnings: false, text: "" })).toHaveLength(0);
    expect(filter(events, { kind: "", warnings: false, text: "FIRST synced" })).toHaveLength(1);
  });
  it("keeps the order of what happened within a second", () => {
    const second = ["Progressing", "ReconciliationSucceeded"].map((message) => event("2026-05-01T12:00:00Z", message));
    const shown = filter([...second, event("2026-05-01T12:00:01Z", "later")], { kind: "", warnings: false, text: "" });
    expect(shown.map((e) => e.message)).toEqual(["later", "ReconciliationSucceeded", "Progressing"]);
    const rows = markdown("podinfo in apps", shown).split("\n").slice(4, 7);
    expect(rows.map((row) => row.split(" | ")[4]?.replace(" |", ""))).toEqual(["Progressing", "ReconciliationSucceeded", "later"]);
  });
  it("becomes a table that messages cannot break", () => {
    const rows = markdown("podinfo in apps", events.toReversed()).split("\n");
    expect(rows[0]).toBe("# podinfo in apps");
    expect(rows[4]).toBe("| 2026-05-01 12:00:00 | Canary apps/podinfo | Normal | Synced | first |");
    expect(rows[5]).toBe("| 2026-05-01 12:02:00 | Canary apps/podinfo | Warning | Synced | a \\| b &lt;c> d (×3) |");
  });
});

describe("a report of events", () => {
  it.each([
    ["an image", "![x](https://evil.example/p.png)", "\\!\\[x\\](https&#58;//evil.example/p.png)"],
    ["a link", "[log in](https://evil.example)", "\\[log in\\](https&#58;//evil.example)"],
    ["an address that becomes a link", "see www.evil.example or <https://e>", "see www&#46;evil.example or &lt;https&#58;//e>"],
    ["a mention", "@team, look: @you", "@\u200bteam, look: @\u200byou"],
    ["what already is an entity", "&lt;b> &#x40;team", "&amp;lt;b> &amp;\\#x40;team"],
    ["the number of an issue", "#123", "\\#\u200b123"],
    ["a heading, code and emphasis", "# a `b` *c* _d_ ~e~", "\\# a \\`b\\` \\*c\\* \\_d\\_ \\~e\\~"],
    ["a revision is no mention", "main@sha1:1", "main@sha1:1"],
  ])("has no %s", (_, message, want) => {
    const [row] = markdown("t", [{ time: "2026-05-01T12:00:00Z", type: "Normal", reason: "R", message, count: 1, kind: "Canary", namespace: "apps", name: "podinfo" }])
      .split("\n")
      .slice(4);
    expect(row?.split(" | ")[4]?.replace(/ \|$/, "")).toBe(want);
  });
});

describe("the kinds of objects", () => {
  const session = { version: "", user: "", cluster: "", reconciled: [], readOnly: true, canSignOut: false };
  it("are those that are there and those of which it is known why not, in the order of a release", () => {
    const missing = [{ kind: "ImagePolicy", why: "you may not list it" }];
    expect(kindsOf({ ...session, kinds: ["Deployment", "Canary", "GitRepository"], missing })).toEqual(["ImagePolicy", "GitRepository", "Canary", "Deployment"]);
  });
  it("are none where none can be listed", () => expect(kindsOf({ ...session, kinds: [], missing: [] })).toEqual([]));
});
