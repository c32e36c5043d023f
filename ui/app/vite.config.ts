// SPDX-License-Identifier: Apache-2.0

import { defineConfig } from "vitest/config";
import { fixture } from "./test/fixture/plugin.ts";

// SLUICE_UI=http://localhost:8080 npm run dev uses the server of a cluster; without it, made-up lanes
// answer, which are no part of what is built.
const server = process.env["SLUICE_UI"];

export default defineConfig({
  plugins: server ? [] : [fixture()],
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  server: { ...(server && { proxy: { "/api": server } }) },
  build: {
    outDir: "../dist",
    emptyOutDir: true,
    target: "es2023",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0, // the policy of the page allows no data: scripts or styles
    reportCompressedSize: true,
  },
  test: { environment: "happy-dom", include: ["test/**/*.test.{ts,tsx}"] },
});
