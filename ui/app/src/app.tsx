// SPDX-License-Identifier: Apache-2.0

import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { loginAddress, session } from "./api/session";
import { lostSince, stale } from "./api/stream";
import { Announcer } from "./parts/announcer";
import { Confirm } from "./parts/confirm";
import { Shortcuts } from "./parts/shortcuts";
import { Lost, ThemeButton } from "./parts/status";
import { Palette, openPalette } from "./parts/palette";
import { screenTitle, useTitle } from "./parts/title";
import { address, route } from "./router";
import { CanaryScreen } from "./screens/canary";
import { CommitScreen, StageCommitScreen } from "./screens/commit";
import { ObjectScreen } from "./screens/object";
import { ObjectsScreen } from "./screens/objects";
import { PipelineScreen } from "./screens/pipeline";
import { PolicyScreen } from "./screens/policy";
import { Releases } from "./screens/releases";
import { TimelineScreen } from "./screens/timeline";
import { VersionsScreen } from "./screens/versions";

/** The page: what stays, and the screen of the address. */
export function App() {
  return (
    <>
      <a class="skip" href="#main">
        Skip to the content
      </a>
      <Header />
      <Lost />
      <Main />
      <Announcer />
      <Palette />
      <Shortcuts />
      <Confirm />
    </>
  );
}

/** The screen. The focus comes to it with another address: what had it before is mostly gone, and who sees nothing is told where they are. */
function Main() {
  const main = useRef<HTMLElement>(null);
  const path = route.value.parts.join("/");
  const shown = useRef(path);
  useEffect(() => {
    if (shown.current === path) return; // the page was loaded: the focus is where the browser puts it
    shown.current = path;
    queueMicrotask(() => main.current?.focus({ preventScroll: true })); // after a dialog has given it back
  }, [path]);
  return (
    <main id="main" tabIndex={-1} ref={main} aria-label={screenTitle.value || undefined}>
      <Screen />
    </main>
  );
}

function Screen() {
  const { parts, query } = route.value;
  const [screen, a = "", b = "", c = "", d = ""] = parts;
  const key = parts.join("/");
  if (parts.length === 0) return <Releases />;
  if (parts.length === 3 && screen === "canary") return <CanaryScreen key={key} namespace={a} name={b} />;
  if (parts.length === 3 && screen === "policy") return <PolicyScreen key={key} namespace={a} name={b} />;
  if (parts.length === 3 && screen === "pipeline") return <PipelineScreen key={key} namespace={a} name={b} />;
  if (parts.length === 5 && screen === "pipeline" && c === "commit") return <StageCommitScreen key={key} namespace={a} name={b} commit={d} />;
  if (parts.length === 3 && screen === "commit") return <CommitScreen key={key} namespace={a} name={b} />;
  if (parts.length === 4 && screen === "objects") return <ObjectScreen key={key} kind={a} namespace={b} name={c} />;
  if (parts.length === 1 && screen === "objects") return <ObjectsScreen kind={query.get("kind") ?? ""} />;
  if (parts.length === 1 && screen === "versions") return <VersionsScreen />;
  if (screen === "timeline" && parts.length <= 2) return <TimelineScreen key={key} lane={a} />;
  return <NoScreen />;
}

function NoScreen() {
  useTitle("There is no such page");
  return (
    <div class="empty">
      <h1>There is no such page</h1>
      <p>
        {address.value} is not one of the screens. <a href="/">Go to the releases.</a>
      </p>
    </div>
  );
}

function Header() {
  const who = session.value;
  return (
    <header class="top">
      <a class="brand" href="/" aria-label="Sluice: releases">
        <img src="/favicon.svg" alt="" width="22" height="22" />
        <span>Sluice</span>
      </a>
      <nav aria-label="Screens">
        <Tab to="/" screens={["", "canary", "policy", "pipeline", "commit"]}>
          Releases
        </Tab>
        <Tab to="/versions" screens={["versions"]}>
          Versions
        </Tab>
        <Tab to="/objects" screens={["objects"]}>
          Objects
        </Tab>
        <Tab to="/timeline" screens={["timeline"]}>
          Timeline
        </Tab>
      </nav>
      <button class="find" type="button" onClick={openPalette}>
        <span>Go to…</span>{" "}
        <kbd>Ctrl K</kbd>
      </button>
      <div class="who">
        {who && (
          <span class="dim" title={`${who.cluster}, ${who.user}\nSluice ${who.version}`}>
            <span class={lostSince.value === undefined && stale.value.staleSince === undefined ? "live-dot" : "live-dot lost"} aria-hidden="true" />
            {who.cluster}
            {who.namespace && ` · ${who.namespace}`}
            <span class="user">
              {" "}
              · {who.user}
              {who.readOnly && " · read-only"}
            </span>
          </span>
        )}
        {who?.canSignOut && (who.readOnly ? <a href={loginAddress("/login")} target="_self">Sign in</a> : <SignOut />)}
        <ThemeButton />
      </div>
    </header>
  );
}

function SignOut() {
  return (
    <form method="post" action="/logout">
      <button type="submit" class="action">
        Sign out
      </button>
    </form>
  );
}

function Tab(props: { to: string; screens: string[]; children: ComponentChildren }) {
  const current = props.screens.includes(route.value.parts[0] ?? "");
  return (
    <a href={props.to} aria-current={current ? "page" : undefined}>
      {props.children}
    </a>
  );
}
