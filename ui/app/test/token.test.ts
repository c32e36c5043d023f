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
    history.replaceState(null, "", "/login?token=a%26b");
    address.value = "/login?token=a%26b"; // as the page began
    takeToken();
    expect(location.pathname + location.search).toBe("/");
    expect(route.value.parts).toEqual([]); // what the page shows
    expect(await asked()).toEqual(["Bearer a&b", "Bearer a&b", "/api/v1/stream?token=a%26b"]);
    forgetToken();
    expect(await asked()).toEqual([null, null, "/api/v1/stream"]);
  });
  it("is taken from no other address: somebody else could have made that", async () => {
    history.replaceState(null, "", "/versions?token=mallory#token=mallory");
    takeToken();
    expect(await asked()).toEqual([null, null, "/api/v1/stream"]);
  });
  it("is kept by the tab where storage is forbidden", async () => {
    const forbidden = () => {
      throw new DOMException("denied", "SecurityError");
    };
    vi.stubGlobal("localStorage", { getItem: forbidden, setItem: forbidden, removeItem: forbidden });
    history.replaceState(null, "", "/login?token=a");
    takeToken();
    expect(await asked()).toEqual(["Bearer a", "Bearer a", "/api/v1/stream?token=a"]);
  });
});
