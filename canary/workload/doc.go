// SPDX-License-Identifier: Apache-2.0

// Package workload keeps the two copies of a workload that a canary release needs,
// and the Services and autoscalers that go with them. For a Deployment:
//
//	Deployment <target>          what Git says; the canary, or scaled to zero
//	Deployment <target>-primary  what users get; written by Sluice alone
//	ConfigMap, Secret <x>-primary  the configuration that the primary reads
//	Service <apex>, <apex>-primary -> primary, <apex>-canary -> target
//	HPA or ScaledObject <y>-primary  the owner's, for the primary
//
// Each kind of targets has an adapter, in a file of its own: Deployments and DaemonSets
// have two copies like this, a Service is copied without any pods, and of a StatefulSet
// or a Knative Service nothing is made, because what they consist of already is of
// either revision. A [Manager] observes the workloads of a canary, and [Workloads] is
// what one observation found, with the actions that a release is made of:
//
//	Manager.Observe -> adapter.observe -> Workloads{Target, Primary, Revision, Saved}
//	Workloads       -> adapter          pods and Services of either copy
//	                -> snapshots        revisions that are kept for later
//	                -> configs          ConfigMaps and Secrets that pods read
//	                -> autoscaler       the owner's, and its copy for the primary
//
// A revision of the target is its pod template together with the content of the
// ConfigMaps and Secrets that the template reads. Its digest is taken over the
// JSON that the API server returns, not over Go structs, so that it survives
// upgrades of Sluice and covers fields that this version has never heard of. For
// the same reason templates are carried as JSON from the target to the primary.
//
// Revisions are kept as snapshots (a ControllerRevision, and a copy of each
// ConfigMap and Secret), so that a revision can be promoted, or restored, after
// the target has moved on. Workloads are read live: a stale cache would promote
// what was, and judge what no longer is. What else the informers have not seen
// change is remembered, and is checked again when it is promoted.
package workload
