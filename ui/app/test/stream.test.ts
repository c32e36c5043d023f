// SPDX-License-Identifier: Apache-2.0

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { act, get, path, Refused } from "../src/api/client";
import { store } from "../src/api/lanes";
import { readSession, session, sessionError } from "../src/api/session";
import { connect, follow, lostSince, onObject, stale } from "../src/api/stream";
import { takeToken } from "../src/api/token";
import * as details from "./fixture/details";
import { laneOf } from "./fixture/lanes";

/** The browser's end of a stream, opened and broken by a test. */
class Source extends EventTarget {
  static readonly CLOSED = 2;
  static all: Source[] = [];
  readyState = 0;
  constructor(readonly url: string) {
    super();
    Source.all.push(this);
  }
  close(): void {
    this.readyState = Source.CLOSED;
  }
  send(type: string, data: unknown): void {
    this.dispatchEvent(new MessageEvent(type, { data: JSON.stringify(data) }));
  }
  fail(closed: boolean): void {
    this.readyState = closed ? Source.CLOSED : 0;
    this.dispatchEvent(new Event("error"));
  }
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("EventSource", Source);
  vi.stubGlobal("requestAnimationFrame", (run: () => void) => setTimeout(run, 16));
  Source.all = [];
  lostSince.value = undefined;
});
afterEach(() => {
  vi.advanceTimersByTime(2_000); // what is drawn is drawn
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("the stream", () => {
  const lane = laneOf("apps", "podinfo", "1", "1");
  it("puts what comes at once into one frame", () => {
    connect();
    const before = store.changes.value;
    Source.all[0]!.send("lanes", { reset: true, set: [lane] });
    Source.all[0]!.send("lanes", { gone: [lane.key] });
    expect(store.changes.value).toBe(before);
    vi.advanceTimersByTime(20);
    expect(store.keys.value).toEqual([]);
  });
  it("draws a storm of changes less often the longer a drawing takes", () => {
    connect();
    let clock = 0;
    let cost = 100; // milliseconds of a drawing
    let drawings = 0;
    let last = -1;
    vi.spyOn(performance, "now").mockImplementation(() => clock);
    vi.spyOn(store, "apply").mockImplementation(() => {
      if (Date.now() === last) return; // the same drawing
      last = Date.now();
      drawings++;
      clock += cost;
    });
    const storm = () => {
      drawings = 0;
      for (let at = 0; at < 2_000; at += 10) {
        Source.all[0]!.send("lanes", { set: [lane] });
        clock += 10;
        vi.advanceTimersByTime(10);
      }
      return drawings;
    };
    const slow = storm();
    expect(slow).toBeGreaterThan(2);
    expect(slow).toBeLessThan(8);
    cost = 0;
    expect(storm()).toBeGreaterThan(30);
    vi.restoreAllMocks();
  });
  it("says since when it is lost, and that all may have changed when it is back", () => {
    const changed = vi.fn();
    const stop = onObject(changed);
    connect();
    const at = Date.now();
    Source.all[0]!.fail(false);
    vi.advanceTimersByTime(5_000);
    Source.all[0]!.fail(false);
    expect(lostSince.value).toBe(at);
    Source.all[0]!.dispatchEvent(new Event("open"));
    expect(lostSince.value).toBeUndefined();
    expect(changed).toHaveBeenCalledExactlyOnceWith(undefined);
    stop();
  });
  it("is opened anew after a silence of which no browser tells, and is lost since then", () => {
    const changed = vi.fn();
    const stop = onObject(changed);
    connect();
    Source.all[0]!.dispatchEvent(new Event("open"));
    vi.advanceTimersByTime(30_000);
    const heard = Date.now();
    Source.all[0]!.send("alive", {});
    vi.advanceTimersByTime(39_000);
    expect(lostSince.value).toBeUndefined();
    vi.advanceTimersByTime(2_000);
    expect(lostSince.value).toBe(heard);
    expect(Source.all[0]!.readyState).toBe(Source.CLOSED);
    expect(Source.all).toHaveLength(2);
    Source.all[1]!.dispatchEvent(new Event("open"));
    expect(lostSince.value).toBeUndefined();
    expect(changed).toHaveBeenCalledExactlyOnceWith(undefined);
    stop();
  });
  it("tells since when the server itself knows nothing new", () => {
    connect();
    Source.all[0]!.send("alive", { staleSince: "2026-05-01T12:00:00Z", why: "the API server does not answer" });
    expect(stale.value.staleSince).toBe("2026-05-01T12:00:00Z");
    Source.all[0]!.send("alive", {});
    expect(stale.value.staleSince).toBeUndefined();
  });
  it("asks whether the session has ended when the server refuses it, and not when it is only lost", () => {
    const refused = vi.fn();
    connect(refused);
    Source.all[0]!.fail(false);
    expect(refused).not.toHaveBeenCalled();
    Source.all[0]!.fail(true);
    expect(refused).toHaveBeenCalledOnce();
  });
  it("is opened again, ever less often, when the server refuses it", () => {
    connect();
    Source.all[0]!.fail(true);
    vi.advanceTimersByTime(1_000);
    expect(Source.all).toHaveLength(2);
    Source.all[1]!.fail(true);
    vi.advanceTimersByTime(1_000);
    expect(Source.all).toHaveLength(2);
    vi.advanceTimersByTime(1_000);
    expect(Source.all).toHaveLength(3);
  });
  it("is let go of while nobody looks, and all may have changed when somebody does", () => {
    const hidden = vi.spyOn(document, "hidden", "get").mockReturnValue(false);
    const look = (looks: boolean) => {
      hidden.mockReturnValue(!looks);
      document.dispatchEvent(new Event("visibilitychange"));
    };
    const changed = vi.fn();
    const stop = onObject(changed);
    follow(() => {});
    Source.all[0]!.dispatchEvent(new Event("open"));
    changed.mockClear();
    look(false);
    vi.advanceTimersByTime(4_000);
    look(true);
    vi.advanceTimersByTime(4_000);
    expect(Source.all[0]!.readyState).not.toBe(Source.CLOSED);
    look(false);
    vi.advanceTimersByTime(6_000);
    expect(Source.all[0]!.readyState).toBe(Source.CLOSED);
    expect(lostSince.value).toBeUndefined();
    look(true);
    expect(Source.all).toHaveLength(2);
    Source.all[1]!.dispatchEvent(new Event("open"));
    expect(changed).toHaveBeenCalledExactlyOnceWith(undefined);
    window.dispatchEvent(new Event("pagehide"));
    expect(Source.all[1]!.readyState).toBe(Source.CLOSED);
    stop();
    hidden.mockRestore();
  });
});

describe("a session that has ended", () => {
  it("leads to where people sign in, and back", async () => {
    const assign = vi.fn();
    vi.stubGlobal("location", { pathname: "/canary/apps/podinfo", search: "?a=1", assign });
    vi.stubGlobal("fetch", () => Promise.resolve(new Response('{"error":"sign in first","login":"/login"}', { status: 401 })));
    await readSession();
    expect(assign).toHaveBeenCalledExactlyOnceWith("/login?to=%2Fcanary%2Fapps%2Fpodinfo%3Fa%3D1");
    expect(sessionError.value).toBeUndefined();
  });
  it("is not one that a token of another process was offered before: all is asked again without it", async () => {
    vi.stubGlobal("fetch", async () => Response.json({}));
    history.replaceState(null, "", "/login#token=dead");
    await takeToken();
    const [assign, reload] = [vi.fn(), vi.fn()];
    vi.stubGlobal("location", { pathname: "/", search: "", assign, reload });
    const tokens: (string | null)[] = [];
    vi.stubGlobal("fetch", async (_: string, asked?: RequestInit) => {
      tokens.push(new Headers(asked?.headers).get("Authorization"));
      return Response.json({ error: "the API server does not accept the token", login: "/login" }, { status: 401 });
    });
    await Promise.all([readSession(), readSession()]); // the second as the stream was denied, too
    expect(assign).not.toHaveBeenCalled();
    expect(reload).toHaveBeenCalledTimes(2);
    await readSession(); // as the page does that was loaded again, here without a session
    expect(tokens).toEqual(["Bearer dead", "Bearer dead", null]);
    expect(reload).toHaveBeenCalledTimes(2);
    expect(assign).toHaveBeenCalledOnce();
  });
  it("says why where nobody can sign in", async () => {
    vi.stubGlobal("fetch", () => Promise.resolve(new Response('{"error":"open the address that was printed"}', { status: 401 })));
    await readSession();
    expect(sessionError.value).toBe("open the address that was printed");
    sessionError.value = undefined;
  });
  it("is not one that could not be read as too much was asked at once: it is asked again", async () => {
    const answers = [new Response('{"error":"too many of your requests are under way"}', { status: 429 }), Response.json({ ...details.session, user: "eve" })];
    vi.stubGlobal("fetch", () => Promise.resolve(answers.shift()));
    await readSession();
    expect(sessionError.value).toContain("too many of your requests");
    await vi.advanceTimersByTimeAsync(2_000);
    expect(sessionError.value).toBeUndefined();
    expect(session.value?.user).toBe("eve");
    session.value = undefined;
  });
});

describe("the client", () => {
  const answering = (status: number, body: string) => vi.stubGlobal("fetch", vi.fn(() => Promise.resolve(new Response(status === 204 ? null : body, { status }))));
  it("shows what the server says when it refuses", async () => {
    answering(403, JSON.stringify({ error: 'canaries "podinfo" is forbidden' }));
    await expect(get("/api/v1/lanes")).rejects.toThrow(new Refused(403, 'canaries "podinfo" is forbidden'));
  });
  it("shows no page of a proxy", async () => {
    answering(502, "<html>Bad Gateway</html>");
    await expect(get("/api/v1/lanes")).rejects.toThrow(/^502/);
  });
  it("gives commands with the header that a page of another origin cannot send", async () => {
    answering(204, "");
    await act({ kind: "Canary", namespace: "apps", name: "podinfo", verb: "approve" });
    const [address, init] = vi.mocked(fetch).mock.calls[0]!;
    expect(address).toBe("/api/v1/actions");
    expect(new Headers(init?.headers).get("X-Sluice-Request")).toBe("1");
    expect(JSON.parse(String(init?.body))).toEqual({ kind: "Canary", namespace: "apps", name: "podinfo", verb: "approve" });
  });
  it("escapes what it asks for", () => expect(path("canaries", "a", "b?c")).toBe("/canaries/a/b%3Fc"));
});
