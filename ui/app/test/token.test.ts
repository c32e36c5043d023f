// SPDX-License-Identifier: Apache-2.0

import { afterEach, describe, expect, it, vi } from "vitest";
import { act, get } from "../src/api/client";
import { connect } from "../src/api/stream";
import { forgetToken, takeToken } from "../src/api/token";
import { address, route } from "../src/router";

describe("the token of the printed address", () => {
  const opened: string[] = [];
  class Source extends EventTarget {
    constructor(address: string) {
      super();
      opened.push(address);
    }
    close(): void {}
  }
  const sent = vi.fn<typeof fetch>(async () => Response.json({}));
  afterEach(() => {
    forgetToken();
    history.replaceState(null, "", "/");
    vi.unstubAllGlobals();
  });
  const asked = async () => {
    vi.stubGlobal("fetch", sent);
    vi.stubGlobal("EventSource", Source);
    await get("/api/v1/session");
    await act({ kind: "Canary", namespace: "apps", name: "podinfo", verb: "pause" });
    connect();
    return [...sent.mock.calls.splice(0).map(([, options]) => new Headers(options?.headers).get("Authorization")), ...opened.splice(0)];
  };

  it("is brought by every request, and stands in the address no longer", async () => {
    history.replaceState(null, "", "/login#token=a%26b");
    address.value = "/login"; // as the page began
    vi.stubGlobal("fetch", sent);
    const taken = takeToken();
    expect(location.pathname + location.search + location.hash).toBe("/");
    await taken;
    expect(sent.mock.calls.splice(0).map(([address]) => address)).toEqual(["/api/v1/session"]); // whether it is the server's own
    expect(route.value.parts).toEqual([]); // what the page shows
    expect(await asked()).toEqual(["Bearer a&b", "Bearer a&b", "/api/v1/stream?token=a%26b"]);
    forgetToken();
    expect(await asked()).toEqual([null, null, "/api/v1/stream"]);
  });
  it("is taken from no other address", async () => {
    history.replaceState(null, "", "/versions?token=mallory#token=mallory");
    await takeToken();
    expect(await asked()).toEqual([null, null, "/api/v1/stream"]);
  });
  it("is not replaced by one that somebody else made an address with", async () => {
    vi.stubGlobal("fetch", sent);
    history.replaceState(null, "", "/login#token=a");
    await takeToken();
    vi.stubGlobal("fetch", async () => Response.json({ error: "open the address that was printed" }, { status: 401 }));
    history.replaceState(null, "", "/login#token=mallory");
    await takeToken();
    sent.mockClear();
    expect(await asked()).toEqual(["Bearer a", "Bearer a", "/api/v1/stream?token=a"]);
  });
  it("is kept by the tab where storage is forbidden", async () => {
    const forbidden = () => {
      throw new DOMException("denied", "SecurityError");
    };
    vi.stubGlobal("localStorage", { getItem: forbidden, setItem: forbidden, removeItem: forbidden });
    vi.stubGlobal("fetch", sent);
    history.replaceState(null, "", "/login#token=a");
    await takeToken();
    sent.mockClear();
    expect(await asked()).toEqual(["Bearer a", "Bearer a", "/api/v1/stream?token=a"]);
  });
});
