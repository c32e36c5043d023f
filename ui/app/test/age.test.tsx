// SPDX-License-Identifier: Apache-2.0

import { render } from "preact";
import { act } from "preact/test-utils";
import { expect, it } from "vitest";
import { now } from "../src/clock";
import { Moment } from "../src/parts/age";

// A page that stayed open over night showed what happened yesterday as if it were of today.
it("a time of day gets its date at midnight, and has it in its title before", async () => {
  const root = document.createElement("div");
  document.body.append(root);
  now.value = new Date(2026, 4, 1, 23, 59, 50).getTime();
  await act(async () => render(<Moment at={new Date(2026, 4, 1, 21, 31, 43).toISOString()} />, root));
  expect(root.textContent).toBe("21:31:43");
  expect(root.querySelector("time")?.title).toBe("2026-05-01 21:31:43");
  await act(async () => void (now.value = new Date(2026, 4, 2, 0, 0, 1).getTime()));
  expect(root.textContent).toBe("2026-05-01 21:31:43");
  render(null, root);
  root.remove();
});
