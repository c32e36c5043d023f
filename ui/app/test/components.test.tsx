// SPDX-License-Identifier: Apache-2.0

import { signal } from "@preact/signals";
import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { store } from "../src/api/lanes";
import { session } from "../src/api/session";
import type { Lane, ObjectDetail } from "../src/api/types";
import { Changed } from "../src/parts/changes";
import { ActionButton, Confirm } from "../src/parts/confirm";
import { Events, ObjectLink, Said } from "../src/parts/detail";
import { LaneRow, stopOf } from "../src/parts/lane";
import { Given, Webhooks } from "../src/screens/canary";
import { Drift, ObjectScreen } from "../src/screens/object";
import { Stage } from "../src/screens/pipeline";
import { Releases } from "../src/screens/releases";
import { TimelineScreen } from "../src/screens/timeline";
import { narrow } from "../src/width";
import * as details from "./fixture/details";
import { laneOf, lanes, withCell } from "./fixture/lanes";

let root: HTMLElement;
beforeEach(() => {
  root = document.createElement("div");
  document.body.append(root);
});
afterEach(() => {
  render(null, root);
  root.remove();
  vi.unstubAllGlobals();
});

const podinfo = laneOf("apps", "podinfo", "6.0.0", "0123456");

function row(lane: Lane) {
  const is = signal(lane);
  void act(() => render(<LaneRow lane={is} index={0} top={0} tabbed={0} measure={() => {}} onFocus={() => {}} />, root));
  return is;
}

describe("webhooks of a Canary", () => {
  const said = (name: string) => [...root.querySelectorAll("li")].find((li) => li.textContent.startsWith(name))?.textContent;
  it("say what they answered last, and how many failed", () => {
    render(<Webhooks of={details.canary("apps", "podinfo").webhooks} />, root);
    expect(root.querySelector("h2")?.textContent).toBe("Webhooks1 of 4 failed");
    expect(said("load-test")).toMatch(/^load-test rollout · failed, for \d minanswered 500: command hey failed: exit status 1$/);
    expect(said("smoke-test")).toMatch(/Last failed \d+ h ago: answered 503 Service Unavailable$/);
    expect(said("chat")).toBe("chat event · not called yet");
    expect(root.querySelectorAll(".bad")).toHaveLength(1);
  });
  it("are no panel if there are none", () => {
    render(<Webhooks of={[]} />, root);
    expect(root.textContent).toBe("");
  });
});

describe("a lane", () => {
  it("is a row of eight cells, one of which the tabulator goes to", () => {
    row(podinfo);
    expect(root.querySelectorAll("[role=rowheader], [role=gridcell]")).toHaveLength(8);
    expect(root.querySelectorAll('[data-cell][tabindex="0"]')).toHaveLength(1);
  });
  it("has the tabulator come to a cell that is displayed, whatever was there before", () => {
    const none = withCell(podinfo, "canary", { state: "none" });
    const staged = { ...none, stages: [{ pipeline: "shop", namespace: "shop", name: "dev", state: "ready" as const }] };
    expect([-1, 0, 1, 6, 7, 8].map((wanted) => stopOf(none, wanted, true))).toEqual([-1, 0, 1, 0, 7, 0]);
    for (const narrow of [true, false]) expect([-1, 0, 1, 6, 7, 8].map((wanted) => stopOf(staged, wanted, narrow))).toEqual([-1, 0, 1, 0, 7, 0]);
  });
  it("has the tabulator leave the lanes from an empty cell that arrows have come to, and come back there", async () => {
    vi.spyOn(Element.prototype, "getClientRects").mockReturnValue([{}] as unknown as DOMRectList);
    store.apply({ reset: true, set: [withCell(podinfo, "canary", { state: "none" })] });
    void act(() => render(<Releases />, root));
    const cells = [...root.querySelectorAll<HTMLElement>("[data-cell]")];
    void act(() => cells[5]!.focus());
    void act(() => void cells[5]!.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true, cancelable: true })));
    await vi.waitFor(() => expect(document.activeElement).toBe(cells[6]));
    expect([...root.querySelectorAll('[data-cell][tabindex="0"]')]).toEqual([cells[6]]); // with another one, Shift Tab came to that
    void act(() => void (narrow.value = true)); // a window that does not display it
    expect([...root.querySelectorAll('[data-cell][tabindex="0"]')]).toEqual([cells[0]]);
    narrow.value = false;
    vi.restoreAllMocks();
  });
  it("tells the column of each cell, as not all of them are displayed, and that stages are stages", () => {
    const failed = withCell(withCell(podinfo, "canary", { state: "none" }), "apply", { state: "failed", message: "no" });
    row({ ...failed, stages: [{ pipeline: "shop", namespace: "shop", name: "dev", state: "ready" }] });
    const cells = [...root.querySelectorAll("[role=rowheader], [role=gridcell]")];
    expect(cells.map((cell) => cell.getAttribute("aria-colindex")).join(" ")).toBe("1 2 3 4 5 6 7 8 9");
    expect(cells.at(-2)?.textContent).toMatch(/^Stages/);
    store.apply({ reset: true, set: [podinfo] });
    void act(() => render(<Releases />, root));
    expect([...root.querySelectorAll("[role=columnheader]")].map((head) => `${head.getAttribute("aria-colindex")} ${head.textContent}`)).toEqual([
      "1 Application", "2 Image", "3 Policy", "4 Commit", "5 Source", "6 Apply", "7 Canary", "8 Live", "9 What to do",
    ]);
    expect(root.querySelector("[role=grid]")?.getAttribute("aria-colcount")).toBe("9"); // that of no cell is greater
  });
  it("says its state in words, not by its colour alone", () => {
    row(withCell(podinfo, "apply", { state: "failed", message: "no such image" }));
    expect(root.querySelector('[data-column="Apply"]')?.textContent).toContain("failed");
  });
  it("says why it failed, when it is tried again, and what to do", () => {
    const remedies = [{ text: "try again now", program: "kubectl", command: "annotate" }];
    row(withCell(podinfo, "apply", { state: "failed", message: "no such image", retry: "within 2 min", remedies }));
    const said = root.querySelector(".spoken")?.textContent;
    for (const part of ["Apply failed", "no such image", "tried again within 2 min", "try again now", "kubectl annotate"]) expect(said).toContain(part);
  });
  it("goes on from the cell that had the focus last when arrows are pressed at a command below it", async () => {
    vi.spyOn(Element.prototype, "getClientRects").mockReturnValue([{}] as unknown as DOMRectList);
    const remedies = [{ text: "try again now", program: "kubectl", command: "annotate" }];
    store.apply({ reset: true, set: [withCell(podinfo, "apply", { state: "failed", message: "no such image", remedies })] });
    void act(() => render(<Releases />, root));
    const cells = [...root.querySelectorAll<HTMLElement>("[data-cell]")];
    for (const [key, want] of [["ArrowRight", 4], ["ArrowLeft", 2]] as const) {
      void act(() => cells[3]!.focus());
      const copy = root.querySelector<HTMLElement>(".spoken button")!;
      copy.focus();
      void act(() => void copy.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true })));
      await vi.waitFor(() => expect(cells.indexOf(document.activeElement as HTMLElement)).toBe(want));
    }
    vi.restoreAllMocks();
  });
  it("goes a cell further with each arrow, however fast they are pressed", () => {
    vi.spyOn(Element.prototype, "getClientRects").mockReturnValue([{}] as unknown as DOMRectList);
    store.apply({ reset: true, set: [podinfo] });
    void act(() => render(<Releases />, root));
    const cells = [...root.querySelectorAll<HTMLElement>("[data-cell]")];
    void act(() => cells[0]!.focus());
    for (const want of [1, 2, 3]) { // no frame is drawn between them
      void act(() => void document.activeElement!.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true, cancelable: true })));
      expect(cells.indexOf(document.activeElement as HTMLElement)).toBe(want);
    }
    vi.restoreAllMocks();
  });
  it("says what to do about a stage", () => {
    const remedies = [{ text: "approve it", command: "pipeline approve shop production -n apps" }];
    const stage = { pipeline: "shop", namespace: "apps", name: "production", state: "waiting" as const, message: "0 of 1 approvals", remedies };
    row({ ...podinfo, state: "waiting", column: "live", stages: [stage] });
    expect(root.querySelector(".spoken .remedies")?.textContent).toContain("approve itsluice pipeline approve shop production -n apps");
  });
  it("does not say that a stage waits since it has the version before", () => {
    const since = new Date(Date.now() - 3 * 86_400_000).toISOString();
    const stage = { pipeline: "shop", namespace: "apps", name: "production", state: "waiting" as const, has: "1.0.0", wants: "1.1.0", since, message: "0 of 1 approvals" };
    const staged = (more: object): Lane => ({ ...podinfo, state: "waiting", column: "live", stages: [{ ...stage, ...more }] });
    row(staged({}));
    expect(root.querySelector(".spoken")?.textContent).toBe("Stage production waiting: 0 of 1 approvals");
    row(staged({ waitingSince: new Date(Date.now() - 150_000).toISOString() }));
    expect(root.querySelector(".spoken")?.textContent).toBe("Stage production waiting for 2 min: 0 of 1 approvals");
  });
  it("does not say that what has just failed has failed for now", () => {
    row(withCell(podinfo, "apply", { state: "failed", since: new Date().toISOString(), message: "no such image" }));
    expect(root.querySelector(".spoken")?.textContent).toContain("Apply failed since just now: no such image");
    row(withCell(podinfo, "apply", { state: "failed", since: new Date(Date.now() - 150_000).toISOString(), message: "no such image" }));
    expect(root.querySelector(".spoken")?.textContent).toContain("Apply failed for 2 min: no such image");
  });
  it("shows stages of pipelines instead of what is live", () => {
    row({ ...podinfo, stages: [{ pipeline: "shop", namespace: "apps", name: "production", state: "waiting", has: "1.0", wants: "1.1" }] });
    expect(root.querySelector('[data-column="Live"]')).toBeNull();
    expect(root.querySelector(".stage")?.textContent).toContain("wants 1.1");
  });
  it("says how old each stage is, and its state in a word", () => {
    const ago = (minutes: number) => new Date(Date.now() - minutes * 60_000 - 5_000).toISOString();
    const stage = (name: string, more: object) => ({ pipeline: "shop", namespace: "shop", name, state: "ready" as const, has: "2", ...more });
    const stages = [
      stage("dev", { since: ago(40) }),
      stage("staging", { state: "moving", since: ago(3) }),
      stage("production", { state: "waiting", has: "1", wants: "2", since: ago(20 * 60), waitingSince: ago(2) }),
      stage("far", { state: "failed", since: ago(9), waitingSince: ago(5) }),
    ];
    row({ ...podinfo, stages });
    expect([...root.querySelectorAll(".stage .what")].map((what) => what.textContent)).toEqual([
      "dev2ready 40 min",
      "staging2moving 3 min",
      "production1 20 h ←wants 2waiting 2 min",
      "far2failed 5 min",
    ]);
  });
  it("moves when a value changes, but not when it comes", () => {
    const is = row(podinfo);
    expect(root.querySelector(".moved")).toBeNull();
    store.busy = false;
    void act(() => {
      is.value = withCell(podinfo, "canary", { state: "moving", value: "10 %" });
    });
    expect(root.querySelectorAll(".moved")).toHaveLength(1);
  });
  it("does not move while much changes at once", () => {
    const is = row(podinfo);
    store.busy = true;
    void act(() => {
      is.value = withCell(podinfo, "canary", { state: "moving", value: "10 %" });
    });
    expect(root.querySelector(".moved")).toBeNull();
    expect(root.querySelector('[data-column="Canary"]')?.textContent).toContain("10 %");
    store.busy = false;
  });
  it("shows markup in a message as text", () => {
    row(withCell(podinfo, "apply", { state: "failed", message: "<img src=x onerror=alert(1)>" }));
    expect(root.querySelector("img")).toBeNull();
    expect(root.querySelector(".spoken")?.textContent).toContain("<img src=x");
  });
});

describe("the home screen", () => {
  it("teaches what begins a lane where there is none", () => {
    store.apply({ reset: true, set: [] });
    void act(() => render(<Releases />, root));
    expect(root.textContent).toContain("No application yet");
  });
  it("says how many lanes there are, and draws those in sight", () => {
    store.apply({ reset: true, set: lanes(500) });
    void act(() => render(<Releases />, root));
    expect(root.querySelector("[role=grid]")?.getAttribute("aria-rowcount")).toBe("501");
    const drawn = root.querySelectorAll("[data-key]").length;
    expect(drawn).toBeGreaterThan(5);
    expect(drawn).toBeLessThan(60);
    expect(root.textContent).toContain("2 failed");
  });
  it("counts what is suspended or not known for itself, and shows it alone", async () => {
    const suspended = withCell(laneOf("apps", "cart", "1", "1"), "source", { state: "suspended" });
    const unknown = withCell(laneOf("apps", "web", "1", "1"), "source", { state: "unknown" });
    store.apply({ reset: true, set: [podinfo, suspended, unknown] });
    void act(() => render(<Releases />, root));
    const chip = [...root.querySelectorAll<HTMLElement>(".chip")].find((one) => one.textContent === "2 suspended or not known");
    expect(chip?.querySelector(".mark")?.getAttribute("class")).toBe("mark is-unknown");
    await act(async () => chip?.click());
    expect([...root.querySelectorAll("[data-key] strong")].map((one) => one.textContent)).toEqual(["cart", "web"]);
    await act(async () => chip?.click());
  });
});

describe("a button", () => {
  const action = { kind: "Canary", namespace: "apps", name: "podinfo", verb: "abort" };
  const show = () =>
    void act(() =>
      render(
        <>
          <ActionButton action={action} label="Abort" does="Rolls back." />
          <Confirm />
        </>,
        root,
      ),
    );
  it("is not there for those who may only read", () => {
    session.value = { ...details.session, readOnly: true };
    show();
    expect(root.querySelector("button")).toBeNull();
  });
  it("asks before it acts, and shows a refusal as the server says it", async () => {
    session.value = { ...details.session, readOnly: false };
    vi.stubGlobal("fetch", vi.fn(() => Promise.resolve(new Response('{"error":"you may not patch canaries"}', { status: 403 }))));
    show();
    await act(() => root.querySelector("button")?.click());
    expect(fetch).not.toHaveBeenCalled();
    await act(async () => {
      root.querySelector("form")?.dispatchEvent(new Event("submit", { bubbles: true, cancelable: true }));
      await new Promise((done) => setTimeout(done));
    });
    expect(root.querySelector("[role=alert]")?.textContent).toBe("you may not patch canaries");
  });
});

describe("what a commit changed", () => {
  const shown = details.commit("89abcdef0123456789abcdef0123456789abcdef");
  const show = (is: typeof shown) => void act(() => render(<Changed is={is} />, root));
  it("is told by signs and by elements, not by colours alone", () => {
    show(shown);
    expect(root.querySelector(".hunk del")?.textContent).toMatch(/^- .*podinfo:6\.0\.0 #/);
    expect(root.querySelector(".hunk ins")?.textContent).toMatch(/^\+ .*podinfo:6\.0\.1 #/);
    expect(root.textContent).toContain("Not shown: it is no text in UTF-8");
  });
  it("lists the markers with what they were and are", () => {
    show(shown);
    const marker = root.querySelector(".touched li")?.textContent;
    for (const part of ['image: ghcr.io/acme/podinfo:6.0.1 # {"$imagepolicy": "apps:podinfo"}', "before: ghcr.io/acme/podinfo:6.0.0", "after: ghcr.io/acme/podinfo:6.0.1", "apps/podinfo.yaml:21"]) {
      expect(marker).toContain(part);
    }
  });
  it("says where it is not known, and what to do", () => {
    show({ ...shown, markers: [], files: [], problem: "This process has no copy." });
    for (const part of ["This process has no copy.", "git show 89abcdef", "The same at the forge"]) expect(root.textContent).toContain(part);
    expect(root.querySelector(".hunk")).toBeNull();
  });
});

describe("drift", () => {
  const is = details.object("Kustomization", "apps", "apps");
  const show = (of: Parameters<typeof Drift>[0]["of"]) => void act(() => render(<Drift of={of} />, root));
  it("names who changed which fields, and what was deleted", () => {
    show(is);
    const [changed, deleted] = [...root.querySelectorAll("li")].map((li) => li.textContent);
    expect(changed).toMatch(/podinfo was changed by kubectl-edit, and is as the source has it again: \.spec\.replicas, \.spec\.paused and 1 more .*2 times/);
    expect(deleted).toContain("was deleted, and made again");
  });
  it("tells first what is changed again and again", () => {
    const event = { time: "2026-05-01T12:00:00Z", type: "Warning", reason: "DriftDetected", message: "x is changed again and again by y", count: 1 };
    show({ ...is, events: [event] });
    expect(root.querySelector("li")?.textContent).toContain("again and again");
  });
  it("is not known to who may not list events, to whom it was none", () => {
    show({ repairs: [], events: [], eventsProblem: "you cannot list events in apps" });
    expect(root.textContent).toContain("not known: you cannot list events in apps");
    expect(root.textContent).not.toContain("Nothing was changed");
  });
  it("is none where no event tells of any", () => {
    show({ repairs: [], events: [] });
    expect(root.textContent).toContain("Nothing was changed beside the source");
  });
});

describe("events", () => {
  it("that one may not list are not called none", () => {
    void act(() => render(<Events of={[]} problem="you cannot list events in apps" />, root));
    expect(root.textContent).toBe("Not known: you cannot list events in apps");
  });
});

describe("the line of a lane", () => {
  it("begins at its first step, and passes those that it has not", () => {
    const none = ["image", "policy", "commit", "canary"];
    const cells = podinfo.cells.map((cell) => (none.includes(cell.column) ? { column: cell.column, state: "none" as const } : cell));
    row({ ...podinfo, cells });
    const lines = [...root.querySelectorAll("[data-column]")].map((cell) => cell.querySelector(".hop") !== null);
    expect(lines).toEqual([false, false, false, true, true, true, false]);
  });
});

describe("a command of a person", () => {
  const at = new Date().toISOString();
  it("that a Canary refused says so, and why", () => {
    void act(() => render(<Given is={{ verb: "promote", at, by: "eve", outcome: "refused: no release is under way" }} />, root));
    expect(root.querySelector(".is-failed")?.textContent).toContain("promote by eve");
    expect(root.textContent).toContain("refused: no release is under way");
  });
  it("that a stage refused says so until another one is carried out", () => {
    const of = details.pipeline("shop", "shop");
    const stage = { name: "production", state: "waiting" as const, remedies: [], commands: [{ verb: "approve" as const, at, outcome: "Refused", message: "eve may not approve" }, { verb: "hold" as const, at, outcome: "Done" }] };
    void act(() => render(<Stage stage={stage} of={of} />, root));
    expect(root.querySelector(".bad")?.textContent).toContain("approve was refused now: eve may not approve");
    expect(root.textContent).not.toContain("hold was");
  });
});

describe("the timelines to choose from", () => {
  const choices = () => act(() => render(<TimelineScreen lane="" />, root));
  it("say that nothing is known yet, or is there, or is like that", () => {
    store.lanes.clear();
    store.loaded.value = false;
    void choices();
    expect(root.textContent).toContain("Waiting for the first look");
    void act(() => store.apply({ reset: true }));
    expect(root.textContent).toContain("No application that you may see is there yet");
    void act(() => store.apply({ reset: true, set: [podinfo] }));
    expect(root.querySelectorAll(".lines li")).toHaveLength(1);
    const search = root.querySelector("input")!;
    search.value = "another";
    void act(() => void search.dispatchEvent(new Event("input")));
    expect(root.textContent).toContain("No application has this in its name");
    void act(() => store.apply({ reset: true }));
  });
});

describe("what an object says about itself", () => {
  it("is set apart from what stands before it", () => {
    void act(() => render(<p>Newest: 2<Said message="all is done" /></p>, root));
    expect(root.textContent).toBe("Newest: 2 · all is done");
    void act(() => render(<p>Newest: 2<Said message={undefined} /></p>, root));
    expect(root.textContent).toBe("Newest: 2");
  });
});

describe("an object", () => {
  const buttons = async (kind: string, as: Partial<ObjectDetail> = {}) => {
    const is: ObjectDetail = { ...details.object("Kustomization", "apps", "podinfo"), kind, ...as };
    vi.stubGlobal("fetch", vi.fn(async () => Response.json(is)));
    await act(async () => render(<ObjectScreen key={kind} kind={kind} namespace="apps" name="podinfo" />, root));
    await vi.waitFor(() => expect(root.querySelector(".heading")).not.toBeNull());
    return [...root.querySelectorAll(".heading .action")].map((button) => button.textContent);
  };
  it.each(["Kustomization", "Canary", "Pipeline", "Alert", "Provider", "Receiver"])("of the kind %s can be reconciled and suspended", async (kind) => {
    session.value = { ...details.session, readOnly: false };
    expect(await buttons(kind)).toEqual(["Reconcile", "Suspend"]);
    session.value = undefined;
  });
  it("that is suspended can be resumed, whatever else its YAML says", async () => {
    session.value = { ...details.session, readOnly: false };
    expect(await buttons("Kustomization", { suspended: true })).toEqual(["Reconcile", "Resume"]);
    session.value = undefined;
  });
  it.each(["ExternalArtifact", "Freeze", "MetricTemplate"])("of the kind %s, which no controller reconciles, cannot", async (kind) => {
    session.value = { ...details.session, readOnly: false };
    expect(await buttons(kind)).toEqual([]);
    session.value = undefined;
  });
  it("of a kind that is not shown has a name and no link", () => {
    session.value = details.session;
    const link = (kind: string) => {
      void act(() => render(<ObjectLink to={{ kind, namespace: "apps", name: "podinfo" }} />, root));
      return [root.textContent, root.querySelector("a")?.getAttribute("href")];
    };
    expect(link("Canary")).toEqual(["Canary apps/podinfo", "/canary/apps/podinfo"]);
    expect(link("ConfigMap")).toEqual(["ConfigMap apps/podinfo", undefined]);
    session.value = undefined;
  });
});
