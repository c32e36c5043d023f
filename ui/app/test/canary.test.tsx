// SPDX-License-Identifier: Apache-2.0

import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, expect, it, vi } from "vitest";
import { CanaryScreen } from "../src/screens/canary";
import * as details from "./fixture/details";

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

// A pod that cannot pull its image stood there as one whose containers are created, until its Deployment gave up after ten minutes.
it("reads why a pod is not ready again, as long as it is not", async () => {
  vi.useFakeTimers();
  const is = details.canary("apps", "podinfo");
  const pod = { name: "podinfo-1", workload: "Deployment/podinfo", primary: false, image: "podinfo:2", restarts: 0, since: "2026-05-01T12:00:00Z" };
  const answers = [{ ...is, pods: [{ ...pod, why: "ContainerCreating" }] }, { ...is, pods: [{ ...pod, why: "ImagePullBackOff" }] }, { ...is, pods: [pod] }];
  const asked = vi.fn(async () => Response.json(answers.length > 1 ? answers.shift() : answers[0]));
  vi.stubGlobal("fetch", asked);
  const root = document.createElement("div");
  document.body.append(root);
  const pass = (milliseconds: number) => act(async () => void (await vi.advanceTimersByTimeAsync(milliseconds)));
  await act(async () => render(<CanaryScreen namespace="apps" name="podinfo" />, root));
  await pass(100);
  expect(root.textContent).toContain("ContainerCreating");
  await pass(10_000);
  expect(root.textContent).toContain("ImagePullBackOff");
  await pass(60_000);
  expect(root.textContent).not.toContain("ImagePullBackOff");
  expect(asked).toHaveBeenCalledTimes(3);
  render(null, root);
  root.remove();
});
