// SPDX-License-Identifier: Apache-2.0

import type { Action } from "../api/types";
import { commandLine } from "./command";

/** The flag that says which bundle a command to a stage is about. */
const bundleFlags: Record<string, string> = { approve: "--bundle", promote: "--bundle", override: "--bundle", lift: "--bundle", rollback: "--to" };

/** The command that does what a button does. Commands to a Canary take no reason, nor do those to any object. */
export function lineOfAction(action: Action, needsReason = false): string {
  const { kind, namespace, name, verb, stage, bundle, reason } = action;
  const where = namespace ? ["-n", namespace] : [];
  if (verb === "reconcile" || verb === "suspend" || (verb === "resume" && !stage)) return commandLine("sluice", verb, kind.toLowerCase(), name, ...where);
  if (kind === "Canary") return commandLine("sluice", "canary", verb, name, ...where);
  const flag = bundle && bundleFlags[verb];
  const why = reason || (needsReason ? "WHY" : "");
  return commandLine("sluice", "pipeline", verb, name, ...(stage ? [stage] : []), ...where, ...(flag ? [flag, bundle] : []), ...(why ? ["--reason", why] : []));
}
