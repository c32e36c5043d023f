// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"slices"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	fluxmeta "github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/test/env"
	"github.com/sluice-cd/sluice/test/harness"
)

func TestNarratorTellsOnlyNews(t *testing.T) {
	scanned := func(tags ...string) client.Object {
		r := &imagev1.ImageRepository{}
		r.Spec.Image = "registry/app"
		r.Status.LastScanResult = &imagev1.ScanResult{TagCount: len(tags), LatestTags: tags}
		return r
	}
	chosen := func(tag string) client.Object {
		p := &imagev1.ImagePolicy{}
		p.Spec.Policy.SemVer = &imagev1.SemVerPolicy{Range: "1.x"}
		p.Status.LatestRef = &imagev1.ImageRef{Tag: tag}
		p.Status.Conditions = []metav1.Condition{{Type: "Ready", Message: "highest in range"}}
		return p
	}
	repo, commit := repository(t)
	pushed := &imagev1.ImageUpdateAutomation{}
	pushed.Status.LastPushCommit = commit
	committed := Entry{
		Step:   Committed,
		Text:   commit[:10],
		Weight: -1,
		Detail: []string{"+++ b/app.yaml", "@@ -1 +1 @@", "-image: app:1.0.0", "+image: app:1.1.0"},
	}
	revision := "main@sha1:" + commit
	fetched := &sourcev1.GitRepository{}
	fetched.Status.Artifact = &fluxmeta.Artifact{Revision: revision}
	applied := &kustomizev1.Kustomization{}
	applied.Status.LastAppliedRevision = revision
	event := func(kind, eventType, message string) client.Object {
		e := &corev1.Event{Message: message, Type: eventType}
		e.InvolvedObject.Kind = kind
		return e
	}
	cases := map[string]struct {
		before []client.Object
		now    client.Object
		want   []Entry
	}{
		"a first scan tells all tags": {
			nil,
			scanned("1.1.0", "1.0.0"),
			[]Entry{{Step: Seen, Text: "1.1.0, 1.0.0, one of 2 tags of registry/app", Weight: -1}},
		},
		"a scan tells only new tags": {
			[]client.Object{scanned("1.0.0")},
			scanned("1.1.0", "1.0.0"),
			[]Entry{{Step: Seen, Text: "1.1.0, one of 2 tags of registry/app", Weight: -1}},
		},
		"a scan without new tags is no news": {[]client.Object{scanned("1.0.0")}, scanned("1.0.0"), nil},
		"a choice comes with its reason": {
			[]client.Object{chosen("1.0.0")},
			chosen("1.1.0"),
			[]Entry{{Step: Chosen, Text: "1.1.0 by semver 1.x", Detail: []string{"highest in range"}, Weight: -1}},
		},
		"a policy without choice is no news": {nil, &imagev1.ImagePolicy{}, nil},
		"a commit is told with its diff":     {nil, pushed, []Entry{committed}},
		"a fetch is told after its commit":   {[]client.Object{pushed}, fetched, []Entry{{Step: Fetched, Text: revision[:20], Weight: -1}}},
		"a fetch that overtakes tells both":  {nil, fetched, []Entry{committed, {Step: Fetched, Text: revision[:20], Weight: -1}}},
		"a commit is told once":              {[]client.Object{fetched}, pushed, nil},
		"the same revision is no news":       {[]client.Object{applied}, applied, nil},
		"a step has its weight": {
			nil,
			event("Canary", "Normal", "Advance app.staging canary weight 40"),
			[]Entry{{Step: Analysed, Text: "Advance app.staging canary weight 40", Weight: 40}},
		},
		"a warning is marked": {
			nil,
			event("Canary", "Warning", "Halt"),
			[]Entry{{Step: Analysed, Text: "Halt", Weight: -1, Warning: true}},
		},
		"the end is a verdict": {
			nil,
			event("Canary", "Normal", "Promotion completed! Scaling down"),
			[]Entry{{Step: Verdict, Text: "Promotion completed! Scaling down", Weight: -1}},
		},
		"other objects' events are no news": {nil, event("Pod", "Normal", "Pulled"), nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			n := newTimeline(repo, nil)
			for _, obj := range tc.before {
				n.entriesFor(t.Context(), obj)
			}
			if diff := cmp.Diff(tc.want, n.entriesFor(t.Context(), tc.now)); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
		})
	}
}

// state is a state branch that says that staging has 1.1.0, verified, and that production
// failed with it.
const state = `version: 1
bundles:
- id: new
  seen: "2026-11-29T09:00:00Z"
  versions: [{artifact: podinfo, tag: 1.1.0, digest: "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}]
quarantine:
- {bundle: new, stage: production, reason: it failed, at: "2026-11-29T09:00:02Z"}
stages:
  staging:
    landings: [{bundle: new, at: "2026-11-29T09:00:00Z", kind: Promotion, verdict: Verified}]
  production:
    landings: [{bundle: new, at: "2026-11-29T09:00:01Z", kind: Promotion, verdict: Failed, reason: it failed}]
`

func TestNarratorTellsOfStages(t *testing.T) {
	p := &harness.Playground{Playground: env.Playground{GitRoot: t.TempDir()}}
	repo, err := p.NewRepo(t.Context(), "shop", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	commit := func(message, path, content string) string {
		t.Helper()
		made, err := repo.Commit(t.Context(), message, map[string][]byte{path: []byte(content)})
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	commit("Begin", "production/app.yaml", "image: app:1.1.0\n")
	decided := commit("Decide", "state.yaml", state)
	back := commit("Roll back production to podinfo 1.0.0", "production/app.yaml", "image: app:1.0.0\n")
	if _, err := harness.Git(t.Context(), "-C", repo.Bare, "branch", "state", decided); err != nil {
		t.Fatal(err)
	}
	applied := func(stage, revision string) client.Object {
		k := &kustomizev1.Kustomization{}
		k.Spec.TargetNamespace, k.Status.LastAppliedRevision = "shop-"+stage, "main@sha1:"+revision
		return k
	}
	event := &corev1.Event{Message: "Halt"}
	event.InvolvedObject.Kind, event.InvolvedObject.Namespace = "Canary", "shop-staging"
	soak := &sluicev1.Pipeline{}
	soak.Status.Stages = []sluicev1.StageStatus{{
		Name:    Production,
		Waiting: []sluicev1.Gate{{Type: sluicev1.GateUpstream, Message: "not told"}, {Type: sluicev1.GateSoak, Message: "it soaks until 9"}},
	}}
	proposed := &sluicev1.Pipeline{}
	proposed.Status.Stages = []sluicev1.StageStatus{{
		Name: Production, PullRequest: &sluicev1.PullRequestStatus{Number: 7, URL: "http://forge/7", State: "open"},
	}}
	merged := proposed.DeepCopy()
	merged.Status.Stages[0].PullRequest.State = "merged"
	merged.Status.Stages[0].Waiting = []sluicev1.Gate{{Type: sluicev1.GateReview, Message: "#7 is merged, and the branch does not have it"}}
	news := []Entry{
		{Step: Verified, Stage: Staging, Text: "podinfo 1.1.0", Weight: -1},
		{Step: Failed, Stage: Production, Text: "podinfo 1.1.0: it failed", Weight: -1, Warning: true},
		{
			Step: Quarantined, Stage: Production, Weight: -1, Warning: true,
			Text: "podinfo:1.1.0@sha256:0123456789ab…, on branch state: no stage is given it any more",
		},
	}
	rollback := Entry{
		Step: Committed, Stage: Production, Text: back[:10] + " Roll back production to podinfo 1.0.0", Weight: -1,
		Detail: []string{"+++ b/production/app.yaml", "@@ -1 +1 @@", "-image: app:1.1.0", "+image: app:1.0.0"},
	}
	cases := map[string]struct {
		before []client.Object
		now    client.Object
		want   []Entry
	}{
		"verdicts are told before the commit that they lead to": {
			nil,
			applied(Production, back),
			append(slices.Clone(news), rollback, Entry{Step: Applied, Stage: Production, Text: "main@sha1:" + back[:10], Weight: -1}),
		},
		"a stage that a commit is not about applies it in silence": {[]client.Object{applied(Production, back)}, applied(Staging, back), nil},
		"an event of a canary is one of its stage": {
			nil, event, []Entry{{Step: Analysed, Stage: Staging, Text: "Halt", Weight: -1}},
		},
		"what a stage waits for is told once": {[]client.Object{soak}, soak, nil},
		"a soak is told, and what is told otherwise is not": {
			[]client.Object{&sluicev1.Pipeline{}},
			soak,
			[]Entry{{Step: Waits, Stage: Production, Text: "it soaks until 9", Weight: -1}},
		},
		"a pull request is told with its address": {
			[]client.Object{&sluicev1.Pipeline{}},
			proposed,
			[]Entry{{Step: Proposed, Stage: Production, Text: "pull request http://forge/7 is open", Weight: -1}},
		},
		"of one that is merged only that is told: the rest is a matter of moments": {
			[]client.Object{proposed},
			merged,
			[]Entry{{Step: Proposed, Stage: Production, Text: "pull request http://forge/7 is merged", Weight: -1}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			n := newTimeline(repo, map[string]string{"shop-staging": Staging, "shop-production": Production})
			n.order, n.state = []string{Staging, Production}, "state"
			for _, obj := range tc.before {
				n.entriesFor(t.Context(), obj)
			}
			if diff := cmp.Diff(tc.want, n.entriesFor(t.Context(), tc.now)); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
		})
	}
}

// repository has two commits, and returns the second.
func repository(t *testing.T) (*harness.Repo, string) {
	t.Helper()
	p := &harness.Playground{Playground: env.Playground{GitRoot: t.TempDir()}}
	repo, err := p.NewRepo(t.Context(), "app", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	commit := ""
	for _, tag := range []string{"1.0.0", "1.1.0"} {
		if commit, err = repo.Commit(t.Context(), tag, map[string][]byte{"app.yaml": []byte("image: app:" + tag + "\n")}); err != nil {
			t.Fatal(err)
		}
	}
	return repo, commit
}
