// SPDX-License-Identifier: Apache-2.0

import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { useResource } from "../src/api/resource";
import { connect } from "../src/api/stream";

function Shown() {
  const found = useResource<{ name: string; pending?: boolean; again?: number }>("/api/v1/x", () => true, (data) => (data.pending ? "soon" : data.again)).value;
  return (
    <p>
      {found.data?.name} {found.error}
    </p>
  );
}

describe("what is read for a screen", () => {
  let root: HTMLElement;
  const answers: (() => Response)[] = [];
  const ok = () => Response.json({ name: "api" });
  const pass = (milliseconds: number) => act(async () => void (await vi.advanceTimersByTimeAsync(milliseconds)));

  beforeEach(() => {
    vi.useFakeTimers();
    root = document.createElement("div");
    document.body.append(root);
    answers.length = 0;
    vi.stubGlobal("fetch", vi.fn(async () => (answers.shift() ?? ok)()));
  });
  afterEach(() => {
    render(null, root);
    root.remove();
    vi.unstubAllGlobals();
    vi.useRealTimers();
  });
  const show = () => act(async () => render(<Shown />, root));

  it.each([
    ["the connection fails", () => { throw new TypeError("Failed to fetch"); }],
    ["the server has trouble", () => new Response("no upstream", { status: 502 })],
  ])("is read again when %s, ever less often", async (_, answer) => {
    answers.push(answer, answer);
    await show();
    await pass(0);
    expect(root.textContent).toMatch(/Failed to fetch|no upstream/);
    await pass(1_000);
    expect(fetch).toHaveBeenCalledTimes(2);
    await pass(1_900);
    expect(fetch).toHaveBeenCalledTimes(2);
    await pass(200);
    expect(root.textContent?.trim()).toBe("api");
    await pass(60_000);
    expect(fetch).toHaveBeenCalledTimes(3);
  });

  it("is read again while the answer is not the last one, and not after it", async () => {
    answers.push(() => Response.json({ name: "", pending: true }), () => Response.json({ name: "", pending: true }));
    await show();
    await pass(0);
    await pass(60_000);
    expect(root.textContent?.trim()).toBe("api");
    expect(fetch).toHaveBeenCalledTimes(3);
  });

  it("is read again after the time that an answer has, unless nobody looks", async () => {
    const hidden = vi.spyOn(document, "hidden", "get").mockReturnValue(false);
    answers.push(...Array.from({ length: 4 }, () => () => Response.json({ name: "", again: 10_000 })));
    await show();
    await pass(9_900);
    expect(fetch).toHaveBeenCalledTimes(1);
    await pass(20_200);
    expect(fetch).toHaveBeenCalledTimes(4);
    hidden.mockReturnValue(true);
    await pass(60_000);
    expect(fetch).toHaveBeenCalledTimes(4);
    hidden.mockReturnValue(false);
    document.dispatchEvent(new Event("visibilitychange"));
    await pass(60_000);
    expect(fetch).toHaveBeenCalledTimes(5);
    hidden.mockRestore();
  });

  describe("while something changes all the time", () => {
    class Source extends EventTarget {
      close(): void {}
    }
    const changed = { kind: "Canary", namespace: "apps", name: "api" };
    let source: Source;
    beforeEach(() => {
      vi.stubGlobal("EventSource", class extends Source {
        constructor() {
          super();
          source = this;
        }
      });
      connect();
    });
    const change = () => source.dispatchEvent(new MessageEvent("object", { data: JSON.stringify(changed) }));
    const changeFor = async (milliseconds: number, every: number) => {
      for (let passed = 0; passed < milliseconds; passed += every) {
        change();
        await pass(every);
      }
    };
    it("is shown although a read takes longer than the time between changes, and once more after the last", async () => {
      let n = 0;
      vi.stubGlobal("fetch", vi.fn((_: string, { signal }: { signal: AbortSignal }) => new Promise((done, fail) => {
        signal.addEventListener("abort", () => fail(new DOMException("aborted", "AbortError")));
        setTimeout(() => done(Response.json({ name: `answer ${++n}` })), 500);
      })));
      await show();
      await changeFor(1_600, 200);
      expect(root.textContent?.trim()).toBe("answer 2");
      await pass(10_000);
      expect(root.textContent?.trim()).toBe(`answer ${n}`);
      expect(fetch).toHaveBeenCalledTimes(n);
      expect(n).toBe(4);
    });
    it("is read at once when somebody looks again, after a change that came while nobody did", async () => {
      const hidden = vi.spyOn(document, "hidden", "get").mockReturnValue(false);
      const look = (at: boolean) => {
        hidden.mockReturnValue(!at);
        document.dispatchEvent(new Event("visibilitychange"));
      };
      await show();
      await pass(0);
      look(false);
      change();
      await pass(3_000);
      expect(fetch).toHaveBeenCalledTimes(1);
      look(true);
      await pass(500);
      expect(fetch).toHaveBeenCalledTimes(2);
      change();
      await pass(500);
      expect(fetch).toHaveBeenCalledTimes(3);
      hidden.mockRestore();
    });
    it("is read again although no change leaves time to collect others", async () => {
      await show();
      await changeFor(1_000, 100);
      expect(vi.mocked(fetch).mock.calls.length).toBeGreaterThan(4);
    });
  });

  it("is not read again when the server refuses", async () => {
    answers.push(() => Response.json({ error: "you may not" }, { status: 403 }));
    await show();
    await pass(60_000);
    expect(root.textContent).toContain("you may not");
    expect(fetch).toHaveBeenCalledTimes(1);
  });
});
