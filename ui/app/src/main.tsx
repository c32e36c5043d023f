// SPDX-License-Identifier: Apache-2.0

import "./style/base.css";
import "./style/shell.css";
import "./style/releases.css";
import "./style/detail.css";
import { render } from "preact";
import { readSession } from "./api/session";
import { follow, onObject } from "./api/stream";
import { takeToken } from "./api/token";
import { App } from "./app";
import { startClock } from "./clock";
import { startKeys } from "./keys";
import { startRouter } from "./router";
import "./theme";

const taken = takeToken();
startRouter();
startClock();
startKeys();
// A server that is back may be another one; and of a kind that can be shown from now on it tells without the name of an object.
onObject((changed) => void (changed?.name || readSession()));
void taken.then(() => {
  void readSession();
  follow(() => void readSession()); // which may have ended
});
const root = document.getElementById("app");
if (root) {
  root.replaceChildren(); // what stands there before this has come
  render(<App />, root);
}
