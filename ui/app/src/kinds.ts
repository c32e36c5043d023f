// SPDX-License-Identifier: Apache-2.0

import { session } from "./api/session";
import type { Session } from "./api/types";
import { commandLine } from "./parts/command";

/** The kinds of a release, in its order. */
const inOrder = [
  "ImageRepository",
  "ImagePolicy",
  "ImageUpdateAutomation",
  "GitRepository",
  "OCIRepository",
  "Bucket",
  "ArtifactGenerator",
  "ExternalArtifact",
  "HelmRepository",
  "HelmChart",
  "Kustomization",
  "HelmRelease",
  "Canary",
  "MetricTemplate",
  "Pipeline",
  "Freeze",
  "Receiver",
  "Alert",
  "Provider",
  "AlertProvider",
];

/** The kinds that the list of objects shows: those that can be listed, and those of which it is known why not. */
export function kindsOf(session: Session | undefined): string[] {
  if (!session) return inOrder;
  const known = new Set([...session.kinds, ...session.missing.map((m) => m.kind)]);
  const first = inOrder.filter((kind) => known.delete(kind));
  return [...first, ...[...known].sort()];
}

/** Arguments of the flux command that name a kind. */
const fluxNames: Record<string, string> = {
  ImageRepository: "image repository",
  ImagePolicy: "image policy",
  ImageUpdateAutomation: "image update",
  GitRepository: "source git",
  OCIRepository: "source oci",
  Bucket: "source bucket",
  HelmRepository: "source helm",
  HelmChart: "source chart",
  Kustomization: "kustomization",
  HelmRelease: "helmrelease",
  Receiver: "receiver",
};

/** The flux command that does something to an object; undefined if it does not know the kind. */
export function flux(verb: string, object: { kind: string; namespace: string; name: string }): string | undefined {
  const name = fluxNames[object.kind];
  return name && commandLine("flux", verb, ...name.split(" "), object.name, "-n", object.namespace);
}

/** Tells whether a controller reconciles the kind, and can be asked to, or to leave an object alone: the server knows. */
export function isReconciled(kind: string): boolean {
  return session.value?.reconciled.includes(kind) ?? false;
}
