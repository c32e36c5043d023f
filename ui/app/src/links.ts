// SPDX-License-Identifier: Apache-2.0

// Which screen shows what.

import { path } from "./api/client";
import type { Cell, Lane, ObjectReference } from "./api/types";

/** Stands in addresses for the namespace of objects that have none. */
export const clusterScope = "-";

/** The screen of an object: one of its own kind, or the one of all kinds. */
export function pageOf(object: ObjectReference): string {
  const { kind, namespace, name } = object;
  switch (kind) {
    case "Canary":
      return path("canary", namespace, name);
    case "ImagePolicy":
      return path("policy", namespace, name);
    case "ImageUpdateAutomation":
      return path("commit", namespace, name);
    case "Pipeline":
      return path("pipeline", namespace, name);
    default:
      return plainPageOf(object);
  }
}

/** The screen that all kinds have: conditions, events, YAML. */
export function plainPageOf({ kind, namespace, name }: ObjectReference): string {
  return path("objects", kind, namespace || clusterScope, name);
}

/** The screen of a commit in which a stage of a pipeline got what it has. */
export function commitOf(pipeline: { namespace: string; name: string }, commit: string): string {
  return path("pipeline", pipeline.namespace, pipeline.name, "commit", commit);
}

/** The screen of a cell. An image without more to say is explained by its policy. */
export function pageOfCell(lane: Lane, cell: Cell): string | undefined {
  if (cell.column === "image" && cell.state !== "failed") {
    const policy = lane.cells.find((c) => c.column === "policy")?.object;
    if (policy) return pageOf(policy);
  }
  return cell.object && pageOf(cell.object);
}

/** The screen with what happened to a lane. */
export function timelineOf(lane: { key: string }): string {
  return path("timeline", lane.key);
}
