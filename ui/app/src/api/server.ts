// SPDX-License-Identifier: Apache-2.0

// What the server adds to the reports: docs/ui.md documents the addresses.

import type { Condition, Event, Lane, ObjectReference, Time } from "./types";

/** Who looks at which cluster, and what cannot be shown. */
export interface Session {
  version: string;
  user: string;
  cluster: string;
  /** The only namespace that is looked at; left out, it is all of them. */
  namespace?: string;
  /** Kinds that can be listed; null is none. */
  kinds: string[] | null;
  /** Nothing can be changed from here. */
  readOnly: boolean;
  /** People sign in here, and out. */
  canSignOut: boolean;
  /** Kinds that the user may not list, or that the cluster does not serve. */
  missing: { kind: string; why: string }[];
}

/** An event `lanes` of the stream. */
export interface LaneChange {
  /** All lanes that are not in `set` are gone. */
  reset?: boolean;
  set?: Lane[];
  gone?: string[];
}

/** A line of a list of objects of one kind. */
export interface ObjectLine extends ObjectReference {
  /** Ready is True, False, Unknown or empty. */
  ready?: string;
  message?: string;
  suspended?: boolean;
  revision?: string;
  since?: Time;
}

/** An object with what happened to it. */
export interface ObjectDetail extends ObjectReference {
  conditions?: Condition[];
  events?: Event[];
  yaml: string;
  inventory?: ObjectReference[];
}

/** A list as the server sends it. */
export interface List<T> {
  items: T[];
}

/** What a person tells the controllers. */
export interface Action extends ObjectReference {
  verb: string;
  stage?: string;
  reason?: string;
  bundle?: string;
}
