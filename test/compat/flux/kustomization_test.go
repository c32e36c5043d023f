// SPDX-License-Identifier: Apache-2.0

package flux

import (
	"testing"
)

func TestSourceAndKustomization(t *testing.T) {
	t.Parallel()
	s := newStory(t, "flux-apply")
	repo := s.clone(t)
	s.push(t, "1.0.0")
	s.values["{dir}"] = writeManifests(t)
	s.tell(t, append(source(), []step{
		{
			does: "create kustomization waits until it is applied and healthy",
			run: "create kustomization podinfo --source=GitRepository/repo --path=./deploy --prune=true --interval=1h " +
				"--target-namespace={ns} --wait",
			err: []string{"✔ Kustomization created", "✔ Kustomization podinfo is ready", "✔ applied revision main@sha1:"},
		},
		{
			does: "get sources git shows the revision",
			run:  "get sources git", out: []string{
				"NAME REVISION SUSPENDED READY MESSAGE repo main@sha1:",
				"False True stored artifact for revision 'main@sha1:",
			},
		},
		{does: "get sources all shows it by kind", run: "get sources all -A", out: []string{"{ns} gitrepository/repo main@sha1:"}},
		{
			does: "get kustomizations shows the revision",
			run:  "get kustomizations", out: []string{"podinfo main@sha1:", "False True Applied revision: main@sha1:"},
		},
		{
			does: "get all shows what is served and is quiet about what is not",
			run:  "get all -A", out: []string{"{ns} gitrepository/repo", "{ns} kustomization/podinfo"}, not: []string{"✗"},
		},
		{
			does: "tree shows the inventory",
			run:  "tree kustomization podinfo", out: []string{"Kustomization/{ns}/podinfo └── Deployment/{ns}/podinfo"},
		},
		{
			does: "tree prints JSON, as the VS Code extension asks for it",
			run:  "tree kustomization podinfo -o json",
			out:  []string{`"Kind": "Deployment"`, `"Name": "podinfo"`, `"resources": [`},
		},
		{
			does: "trace finds the way from a Deployment to Git",
			run:  "trace deployment podinfo",
			out: []string{
				"Object: Deployment/podinfo Namespace: {ns} Status: Managed by Flux",
				"Kustomization: podinfo Namespace: {ns} Target: {ns} Path: ./deploy Revision: main@sha1:",
				"GitRepository: repo Namespace: {ns} URL: {git}/{ns}.git Branch: main Revision: main@sha1:",
			},
		},
		{
			does: "trace with the flags of the VS Code extension",
			run:  "trace podinfo --kind=Deployment --api-version=apps/v1 --namespace={ns}", out: []string{"Status: Managed by Flux"},
		},
		{does: "trace of what Git does not have says so", run: "trace namespace {ns}", err: []string{"object not managed by Flux"}},
		{
			does: "reconcile source git fetches",
			run:  "reconcile source git repo", err: []string{"✔ fetched revision main@sha1:"},
		},
		{
			does: "reconcile kustomization --with-source applies the new commit",
			run:  "reconcile kustomization podinfo --with-source",
			before: func(t *testing.T) {
				s.commit(t, repo, "deploy/more.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: more}\n")
			},
			err: []string{"► annotating GitRepository repo in {ns} namespace", "✔ applied revision main@sha1:"},
		},
		{does: "the tree grew", run: "tree kustomization podinfo", out: []string{"ConfigMap/{ns}/more"}},
		{
			does: "debug shows the status",
			run:  "debug kustomization podinfo --show-status", out: []string{"lastAppliedRevision: main@sha1:", "type: Ready"},
		},
		{
			does: "debug shows the history",
			run:  "debug kustomization podinfo --show-history", out: []string{"lastReconciledStatus: ReconciliationSucceeded"},
		},
		{
			does: "build prints what would be applied",
			run:  "build kustomization podinfo --path={dir}",
			out:  []string{"name: other", "kustomize.toolkit.fluxcd.io/name: podinfo"},
		},
		{
			does: "diff asks the API server what would change",
			run:  "diff kustomization podinfo --path={dir}", code: 1,
			err: []string{"identified at least one change"}, out: []string{"► ConfigMap/{ns}/other created", "Deployment/{ns}/podinfo deleted"},
		},
		{
			does: "events tell what was applied", run: "events --for Kustomization/podinfo",
			out: []string{
				"Normal Progressing Kustomization/podinfo Deployment/{ns}/podinfo created", "ReconciliationSucceeded",
				"Normal NewArtifact GitRepository/repo stored artifact for commit",
			},
		},
		{
			does: "and so does sluice", run: "events --for Kustomization/podinfo -n {ns}", ours: true,
			out: []string{
				"Normal Progressing Kustomization/podinfo Deployment/{ns}/podinfo created", "ReconciliationSucceeded",
				"Normal NewArtifact GitRepository/repo stored artifact for commit",
			},
		},
	}...))
	s.tell(t, manage("source git", "GitRepository", "source git", "✔ fetched revision main@sha1:"))
	s.tell(t, manage("kustomization", "Kustomization", "kustomization", "✔ applied revision main@sha1:"))
	s.tell(t, []step{
		{
			does: "stats counts the artifact",
			run:  "stats",
			out:  []string{"GitRepository 1 0 0", "Kustomization 1 0 0"},
			not:  []string{"GitRepository 1 0 0 -"},
		},
		{does: "deleting the kustomization", run: "delete kustomization podinfo -s", err: []string{"✔ kustomization deleted"}},
		{
			does: "what it applied is pruned", run: "trace deployment podinfo", code: 1, eventually: true, err: []string{"not found"},
		},
		{does: "deleting the source", run: "delete source git repo -s", err: []string{"✔ source git deleted"}},
		{
			does:       "they are gone",
			run:        "get sources git",
			eventually: true,
			code:       1,
			err:        []string{`no GitRepository objects found in "{ns}" namespace`},
		},
	})
}
