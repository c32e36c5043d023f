// SPDX-License-Identifier: Apache-2.0

package browser

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion"
	"github.com/sluice-cd/sluice/test/harness"
	builder "github.com/sluice-cd/sluice/test/make"
	"github.com/sluice-cd/sluice/ui"
)

func hasStatus(o client.Object) bool {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	status, _, _ := unstructured.NestedMap(content, "status")
	_, deployment := o.(*appsv1.Deployment) // whose own controller tells it
	return err == nil && len(status) > 0 && !deployment
}

const head = "c0ffee0123456789c0ffee0123456789c0ffee01"

// furnish makes the applications of a shop: podinfo in the middle of a release, and others that wait and have failed.
// No controller looks at them: they stay as they are.
func (w *webTest) furnish(t *testing.T) {
	t.Helper()
	now := time.Now()
	w.create(t, w.delivery(now)...)
	w.create(t, w.canaries(now)...)
	w.create(t, w.pipelines(now)...)
	w.create(t, w.staged(now)...)
	for _, name := range []string{"podinfo", "api", "cart"} { // whose users have the version before
		var of flaggerv1.Canary
		if err := w.Client.Get(t.Context(), client.ObjectKey{Namespace: w.shop, Name: name}, &of); err != nil {
			t.Fatal(err)
		}
		w.create(t, builder.Deployment(w.shop, name+"-primary", image+":6.0.1", func(d *appsv1.Deployment) {
			owner := metav1.NewControllerRef(&of, flaggerv1.GroupVersion.WithKind(flaggerv1.CanaryKind))
			d.OwnerReferences = []metav1.OwnerReference{*owner}
		}))
	}
	w.create(t, builder.Deployment(w.production, "podinfo", image+":6.0.0"))
	for name, ago := range map[string]time.Duration{
		"podinfo-primary": 75 * time.Hour, "api-primary": 74 * time.Hour, "cart-primary": 73 * time.Hour, "web": 9 * time.Minute,
	} {
		w.rolledOut(t, w.shop, name, ago)
	}
	w.rolledOut(t, w.production, "podinfo", 12*24*time.Hour)
	w.dateRollouts(t, now.Add(-634*time.Second))
	const ago = time.Second
	repaired := "ConfigMap/" + w.shop + "/settings configured: kubectl-edit had changed .data.level"
	w.told(t, 2440*ago, told{"Kustomization", "shop", "Progressing", repaired})
	w.told(t, 740*ago, told{"Kustomization", "shop", "ReconciliationSucceeded", "Reconciliation finished in 1.2s"})
	w.told(t, 635*ago, told{"Canary", "podinfo", "Synced", "New revision detected! Scaling up podinfo"})
	w.told(t, 630*ago, told{"Canary", "podinfo", "Synced", "Advance podinfo canary weight 20"})
	w.told(t, 330*ago, told{"Canary", "podinfo", "Synced", "Advance podinfo canary weight 40"})
}

// rolledOut has the rollout of a Deployment have ended some time ago, once it has: users have had their version for longer than this
// test takes.
func (w *webTest) rolledOut(t *testing.T, namespace, name string, ago time.Duration) {
	t.Helper()
	at := metav1.NewTime(time.Now().Add(-ago))
	if _, err := harness.Eventually(t.Context(), "the rollout of "+name, harness.Patience, func(ctx context.Context) (bool, string) {
		var d appsv1.Deployment
		if err := w.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &d); err != nil {
			return false, err.Error()
		}
		ended := false
		for i := range d.Status.Conditions {
			is := &d.Status.Conditions[i]
			ended = ended || is.Reason == "NewReplicaSetAvailable"
			is.LastUpdateTime, is.LastTransitionTime = at, at
		}
		if !ended {
			return false, fmt.Sprint(d.Status.Conditions)
		}
		err := w.Client.Status().Update(ctx, &d)
		return err == nil, fmt.Sprint(err)
	}); err != nil {
		t.Fatal(err)
	}
}

// dateRollouts has the cluster tell that podinfo was scaled up some time ago, as its Canary does, and forget what it told of workloads
// that have been there for days.
func (w *webTest) dateRollouts(t *testing.T, at time.Time) {
	t.Helper()
	var events corev1.EventList
	if err := w.Client.List(t.Context(), &events, client.InNamespace(w.shop)); err != nil {
		t.Fatal(err)
	}
	for _, e := range events.Items {
		name := e.InvolvedObject.Name
		if !strings.HasPrefix(name, "podinfo") || strings.HasPrefix(name, "podinfo-primary") {
			if err := w.Client.Delete(t.Context(), &e); client.IgnoreNotFound(err) != nil {
				t.Fatal(err)
			}
			continue
		}
		e.FirstTimestamp, e.LastTimestamp = metav1.NewTime(at), metav1.NewTime(at)
		if !e.EventTime.IsZero() {
			e.EventTime = metav1.NewMicroTime(at)
		}
		if err := w.Client.Update(t.Context(), &e); err != nil {
			t.Fatal(err)
		}
	}
}

// image is that of podinfo.
const image = "ghcr.io/acme/podinfo"

// scanned knows the tags of images as the controller does: when a scan found them first.
func scanned(now time.Time) func(context.Context, client.Client, *imagev1.ImageRepository) (ui.Tags, error) {
	const day = 24 * time.Hour
	known := map[string]map[string]time.Duration{
		image: {"latest": 90 * day, "6.0.0": 12 * day, "6.0.1": 3*day + 4*time.Hour, "7.0.0-rc.1": 2 * day, "6.1.0": 14 * time.Minute},
		web:   {"2": 10 * time.Minute},
	}
	return func(_ context.Context, _ client.Client, repo *imagev1.ImageRepository) (ui.Tags, error) {
		ages := known[repo.Spec.Image]
		return ui.Tags{
			Names:     slices.Sorted(maps.Keys(ages)),
			FirstSeen: func(tag string) time.Time { return now.Add(-ages[tag]) },
		}, nil
	}
}

// delivery is what carries podinfo from the registry to the cluster.
func (w *webTest) delivery(now time.Time) []client.Object {
	before := func(seconds time.Duration) metav1.Time {
		return metav1.NewTime(now.Add(-12*time.Minute - seconds*time.Second))
	}
	ready := func(seconds time.Duration, message string) []metav1.Condition {
		return []metav1.Condition{{Type: meta.ReadyCondition, Status: metav1.ConditionTrue, Reason: meta.SucceededReason,
			Message: message, LastTransitionTime: before(seconds), ObservedGeneration: 1}}
	}
	seen, chose, pushed := before(94), before(92), before(60)
	chosen := imagev1.ImageRef{Name: image, Tag: "6.1.0"}
	revision := "main@sha1:" + head
	return []client.Object{
		builder.ImageRepository(w.shop, "podinfo", func(r *imagev1.ImageRepository) {
			r.Spec.Image = image
			r.Status.ObservedGeneration, r.Status.Conditions = 1, ready(95, "successful scan: found 5 tags")
			r.Status.LastScanResult = &imagev1.ScanResult{
				Revision: "1", TagCount: 5, ScanTime: before(95), LatestTags: []string{"7.0.0-rc.1", "6.1.0"},
			}
		}),
		builder.ImagePolicy(w.shop, "podinfo", func(p *imagev1.ImagePolicy) {
			p.Spec.ImageRepositoryRef.Name, p.Spec.Policy.SemVer.Range = "podinfo", "6.x"
			p.Status.Decision = &imagev1.Decision{Rule: "semver 6.x", Total: 5, Qualified: 3,
				Candidates: []imagev1.Candidate{{Tag: "6.1.0", FirstSeen: &seen}}}
			p.Status.ObservedGeneration, p.Status.LatestRef, p.Status.Conditions = 1, &chosen, ready(92, "latest tag is 6.1.0")
			p.Status.LatestRefTime = &chose
		}),
		builder.GitRepository(w.shop, "fleet", func(g *sourcev1.GitRepository) {
			g.Spec.URL = "https://github.com/acme/fleet"
			g.Status.ObservedGeneration, g.Status.Conditions = 1, ready(35, "stored artifact for revision "+revision)
			g.Status.Artifact = &meta.Artifact{Path: "x", URL: "http://x", Revision: revision,
				Digest: "sha256:" + strings.Repeat("a", 64), LastUpdateTime: before(35)}
		}),
		&imagev1.ImageUpdateAutomation{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.shop, Name: "fleet"},
			Spec: imagev1.ImageUpdateAutomationSpec{
				SourceRef: imagev1.CrossNamespaceSourceReference{Kind: sourcev1.GitRepositoryKind, Name: "fleet"},
				Interval:  metav1.Duration{Duration: time.Hour},
				GitSpec: &imagev1.GitSpec{Commit: imagev1.CommitSpec{
					Author: imagev1.CommitUser{Email: "sluice@example.com"},
				}},
			},
			Status: imagev1.ImageUpdateAutomationStatus{
				ObservedGeneration: 1, LastPushCommit: head, LastPushTime: &pushed, LastAutomationRunTime: &pushed,
				Conditions:       ready(60, "pushed commit c0ffee0 to branch main"),
				ObservedPolicies: imagev1.ObservedPolicies{"podinfo": chosen}, ObservedSourceRevision: revision,
				Markers: &imagev1.MarkerCounts{Total: 2, Current: 1, Skipped: []imagev1.SkippedMarkers{
					{Reason: "there is no such policy", Count: 1, Example: "apps/web.yaml:14"}}},
			},
		},
		builder.Kustomization(w.shop, "shop", func(k *kustomizev1.Kustomization) {
			k.Spec.SourceRef.Name = "fleet"
			k.Spec.DependsOn = []kustomizev1.DependencyReference{{Name: "database"}}
			k.Status.ObservedGeneration, k.Status.Conditions = 1, ready(20, "Applied revision: "+revision)
			k.Status.LastAppliedRevision, k.Status.LastAttemptedRevision = revision, revision
			k.Status.History = meta.History{{Digest: "sha256:" + strings.Repeat("b", 64), FirstReconciled: before(20), LastReconciled: before(20),
				LastReconciledDuration: metav1.Duration{Duration: 1200 * time.Millisecond}, LastReconciledStatus: meta.ReconciliationSucceededReason,
				TotalReconciliations: 1, Metadata: map[string]string{"revision": revision}}}
			k.Status.Inventory = &kustomizev1.ResourceInventory{Entries: []kustomizev1.ResourceRef{
				{ID: w.shop + "_podinfo_apps_Deployment", Version: "v1"}, {ID: w.shop + "_podinfo_flagger.app_Canary", Version: "v1beta1"},
				{ID: w.shop + "_settings__ConfigMap", Version: "v1"},
			}}
		}),
		builder.Kustomization(w.shop, "database", func(k *kustomizev1.Kustomization) {
			k.Spec.SourceRef.Name = "fleet"
			k.Status.ObservedGeneration = 1
			k.Status.Conditions = []metav1.Condition{{Type: meta.ReadyCondition, Status: metav1.ConditionFalse, Reason: "BuildFailed",
				Message: "kustomization.yaml: no such file", LastTransitionTime: metav1.NewTime(now.Add(-2 * time.Hour)), ObservedGeneration: 1}}
		}),
	}
}

// canaries are those of podinfo, which is released, of api, which waits at a gate, of cart, which was rolled back, and of
// search, which is suspended.
func (w *webTest) canaries(now time.Time) []client.Object {
	named := func(name string) func(*flaggerv1.Canary) {
		return func(c *flaggerv1.Canary) {
			c.Namespace, c.Name, c.Spec.TargetRef.Name = w.shop, name, name
		}
	}
	before := func(ago time.Duration) metav1.Time { return metav1.NewTime(now.Add(-ago)) }
	paused, ended, asked := before(20*time.Minute), before(3*time.Minute), now.Add(-5*time.Minute)
	objects := []client.Object{
		builder.Release(now.Add(-30*time.Second), named("podinfo"), func(c *flaggerv1.Canary) {
			// One check has been made in a step that began five and a half minutes ago, and one in the step before it.
			c.Spec.Analysis.Interval = "5m"
			release := &c.Status.History[0]
			release.Images, release.StartedAt = []string{image + ":6.1.0"}, before(10*time.Minute+30*time.Second)
			release.Steps[0].At = release.StartedAt
			c.Status.Conditions[0].LastTransitionTime = c.Status.LastTransitionTime
			c.Status.Conditions[0].Message = "Canary analysis at weight 40, step 2 of 3, 1 of 3 checks failed"
			c.Spec.Analysis.Webhooks, c.Status.Webhooks = webhooks(release.StartedAt, before(30*time.Second), before(76*time.Hour))
		}),
		builder.Release(asked, named("api"), func(c *flaggerv1.Canary) {
			c.Status.Phase, c.Status.CanaryWeight, c.Status.FailedChecks = flaggerv1.CanaryPhaseWaiting, 0, 0
			release := &c.Status.History[0]
			release.Images, release.Steps = []string{image + ":6.1.0"}, nil // nobody has it before the gate opens
			c.Status.Hold = &flaggerv1.CanaryHold{Kind: flaggerv1.HoldGate, Gate: "confirm-rollout", By: "approve", Since: release.StartedAt}
			c.Status.LastTransitionTime, c.Status.Conditions[0].LastTransitionTime = release.StartedAt, release.StartedAt
			c.Status.Conditions[0].Message = "Waiting for approval; waiting for approval by approve, or `sluice canary approve api`"
		}),
		builder.Release(ended.Time, named("cart"), func(c *flaggerv1.Canary) {
			c.Status.Phase, c.Status.CanaryWeight, c.Status.FailedChecks = flaggerv1.CanaryPhaseFailed, 0, 3
			c.Spec.Analysis.Interval = "90s" // of the step that began five minutes before the end three checks failed
			release := &c.Status.History[0]
			release.StartedAt = metav1.NewTime(ended.Add(-7 * time.Minute))
			release.Steps[0].At = release.StartedAt
			release.Images, release.EndedAt, release.Verdict = []string{image + ":6.1.0"}, ended, "failed"
			release.Reason = "request-success-rate was 62.50%, and should be at least 99%"
			release.Steps[1].FailedChecks = 3
			c.Status.LastTransitionTime, c.Status.Conditions[0].LastTransitionTime = ended, ended
			c.Status.Conditions[0].Status, c.Status.Conditions[0].Message = metav1.ConditionFalse,
				"Canary analysis failed, Deployment scaled to zero. Reason: "+release.Reason
		}),
		builder.Canary(w.shop, "search", func(c *flaggerv1.Canary) { c.Spec.Suspend = true }),
		builder.Canary(w.shop, "paused", func(c *flaggerv1.Canary) {
			c.Status.Phase = flaggerv1.CanaryPhaseProgressing
			c.Status.Hold = &flaggerv1.CanaryHold{Kind: flaggerv1.HoldPause, By: "eve", Since: paused}
		}),
	}
	for _, name := range []string{"podinfo", "api", "cart"} {
		objects = append(objects, builder.Deployment(w.shop, name, image+":6.1.0", func(d *appsv1.Deployment) {
			if name == "cart" {
				d.Spec.Replicas = new(int32(0)) // as it was rolled back
			}
			if name == "podinfo" {
				d.Labels = map[string]string{"kustomize.toolkit.fluxcd.io/name": "shop", "kustomize.toolkit.fluxcd.io/namespace": w.shop}
			}
		}))
	}
	return objects
}

// webhooks are a smoke test that passes by now, a load test that fails, and a chat that was not called yet.
func webhooks(passed, failed, failedBefore metav1.Time) ([]flaggerv1.CanaryWebhook, []flaggerv1.CanaryWebhookStatus) {
	failure := flaggerv1.CanaryWebhookAnswer{Since: failedBefore, StatusCode: 503, Message: "answered 503 Service Unavailable"}
	return []flaggerv1.CanaryWebhook{
			{Name: "smoke-test", Type: flaggerv1.PreRolloutHook, URL: "http://loadtester.test/?token=hunter2"},
			{Name: "load-test", URL: "http://loadtester.test/?token=hunter2"},
			{Name: "chat", Type: flaggerv1.EventHook, URL: "https://chat.example.com/hunter2"},
		}, []flaggerv1.CanaryWebhookStatus{
			{Type: flaggerv1.PreRolloutHook, Name: "smoke-test", LastFailure: &failure,
				Last: flaggerv1.CanaryWebhookAnswer{Succeeded: true, Since: passed}},
			{Type: flaggerv1.RolloutHook, Name: "load-test",
				Last: flaggerv1.CanaryWebhookAnswer{Since: failed, StatusCode: 500, Message: "command hey failed: exit status 1"}},
		}
}

// web is the image of an application that no Canary releases.
const web = "ghcr.io/acme/web"

// staged is the application web, that the pipeline shop carries to its stages, of which one is here.
func (w *webTest) staged(now time.Time) []client.Object {
	at := metav1.NewTime(now.Add(-10 * time.Minute))
	ready := []metav1.Condition{{Type: meta.ReadyCondition, Status: metav1.ConditionTrue, Reason: meta.SucceededReason, Message: "found it",
		LastTransitionTime: at, ObservedGeneration: 1}}
	return []client.Object{
		builder.ImageRepository(w.shop, "web", func(r *imagev1.ImageRepository) {
			r.Spec.Image, r.Status.ObservedGeneration, r.Status.Conditions = web, 1, ready
		}),
		builder.ImagePolicy(w.shop, "web", func(p *imagev1.ImagePolicy) {
			p.Spec.ImageRepositoryRef.Name, p.Spec.Policy.SemVer.Range = "web", ">=1"
			p.Status.LatestRef, p.Status.LatestRefTime = &imagev1.ImageRef{Name: web, Tag: "2"}, &at
			p.Status.Decision = &imagev1.Decision{Rule: "semver >=1", Total: 1, Qualified: 1,
				Candidates: []imagev1.Candidate{{Tag: "2", FirstSeen: &at}}}
			p.Status.ObservedGeneration, p.Status.Conditions = 1, ready
		}),
		builder.Deployment(w.shop, "web", web+":2"),
	}
}

// pipelines are shop, whose production waits for an approval, and held, with a hold and a quarantine.
func (w *webTest) pipelines(now time.Time) []client.Object {
	at := metav1.NewTime(now.Add(-30 * time.Minute))
	named := func(name string) func(*sluicev1.Pipeline) {
		return func(p *sluicev1.Pipeline) { p.Namespace, p.Name = w.shop, name }
	}
	return []client.Object{
		builder.Pipeline(now, named("shop"), func(p *sluicev1.Pipeline) {
			landed(p)
			production := &p.Status.Stages[1]
			since := metav1.NewTime(now.Add(-5 * time.Minute))
			production.Waiting[0].Since = &since
			stands(p)
		}),
		builder.Pipeline(now, named("held"), func(p *sluicev1.Pipeline) {
			p.Spec.Artifacts[1].ImagePolicyRef.Name = "another"
			landed(p)
			staging := &p.Status.Stages[0]
			staging.Landings = slices.Insert(staging.Landings, 1, sluicev1.Landing{
				Bundle: builder.Bundle("1.5"), At: metav1.NewTime(now.Add(-50 * time.Minute)), Kind: sluicev1.LandingPromotion,
				Commit: "decade0123456789", By: "Sluice", Verdict: promotion.VerdictFailed, Reason: "the canary failed",
			})
			held := metav1.NewTime(now.Add(-4 * time.Minute))
			staging.Phase, staging.Hold = sluicev1.StageHeld, &sluicev1.Consent{By: "eve", Reason: "an incident", At: held}
			staging.Message = "held by eve: an incident"
			verified, soaked := metav1.NewTime(now.Add(-5*time.Minute)), metav1.NewTime(now.Add(10*time.Minute))
			open := metav1.NewTime(now.Add(4 * time.Hour).Truncate(time.Hour))
			production := &p.Status.Stages[1]
			utc := func(t metav1.Time) string { return t.UTC().Format(time.RFC3339) }
			production.Waiting = append([]sluicev1.Gate{
				{Type: sluicev1.GateSoak, Since: &verified, Until: &soaked, Message: "api 2, web 2 soaks in staging until " + utc(soaked)},
				{Type: sluicev1.GateWindow, Until: &open,
					Message: "window office-hours opens at " + utc(open) + "; `sluice pipeline promote --override` does not wait for it"},
			}, production.Waiting...)
			production.Message = "api 2, web 2: " + production.Waiting[0].Message
			stands(p)
			p.Status.Quarantined = []sluicev1.Quarantine{{Bundle: builder.Bundle("1.5"), Stage: "staging", Reason: "the canary failed", At: at}}
		}),
	}
}

// landed gives each version that came to a stage a commit of its own.
func landed(p *sluicev1.Pipeline) {
	staging, production := &p.Status.Stages[0], &p.Status.Stages[1]
	staging.Landings[1].Commit, production.Landings[0].Commit = "feed0123456789", production.Commit
}

// stands has a pipeline say where its stages stand, as its controller does.
func stands(p *sluicev1.Pipeline) {
	var stages []string
	for _, stage := range p.Status.Stages {
		stages = append(stages, stage.Name+": "+stage.Message)
	}
	p.Status.Conditions[0].Message = strings.Join(stages, "; ")
}

// told is an event of an object.
type told struct{ kind, name, reason, message string }

// told makes an event that happened some time ago.
func (w *webTest) told(t *testing.T, ago time.Duration, e told) {
	t.Helper()
	var of unstructured.Unstructured
	of.SetAPIVersion(map[string]string{
		"Canary": flaggerv1.GroupVersion.String(), "Kustomization": kustomizev1.GroupVersion.String(),
	}[e.kind])
	of.SetKind(e.kind)
	if err := w.Client.Get(t.Context(), client.ObjectKey{Namespace: w.shop, Name: e.name}, &of); err != nil {
		t.Fatal(err)
	}
	at := metav1.NewTime(time.Now().Add(-ago))
	w.create(t, &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: w.shop, GenerateName: e.name + "-"},
		InvolvedObject: corev1.ObjectReference{APIVersion: of.GetAPIVersion(), Kind: e.kind, Namespace: w.shop, Name: e.name, UID: of.GetUID()},
		Reason:         e.reason, Message: e.message, Type: corev1.EventTypeNormal, FirstTimestamp: at, LastTimestamp: at, Count: 1,
		Source: corev1.EventSource{Component: "sluice"},
	})
}
