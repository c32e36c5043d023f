// SPDX-License-Identifier: Apache-2.0

import { signal } from "@preact/signals";

const query = window.matchMedia("(max-width: 900px)");

/** The window is so narrow that a lane displays only the steps that it has: the same width stands in releases.css. */
export const narrow = signal(query.matches);

query.addEventListener("change", () => (narrow.value = query.matches));
