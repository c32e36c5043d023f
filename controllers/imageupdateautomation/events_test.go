// SPDX-License-Identifier: Apache-2.0

package imageupdateautomation

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/acl"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/writeback"
)

func TestWhatIsAskedOfAnAutomation(t *testing.T) {
	of, a := kind(), automation()
	if of.Suspended(a) {
		t.Error("it is suspended")
	}
	if a.Spec.Suspend = true; !of.Suspended(a) {
		t.Error("spec.suspend is not seen")
	}
	seen := of.Observed(a)
	if *seen.Generation, *seen.HandledAt = 7, "now"; a.Status.ObservedGeneration != 7 || a.Status.LastHandledReconcileAt != "now" {
		t.Errorf("status %+v", a.Status)
	}
	a.Status.ObservedSourceRevision = "main@sha1:1"
	if diff := cmp.Diff(map[string]string{imagev1.RevisionAnnotation: "main@sha1:1"}, of.About(a)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(&imagev1.ImageUpdateAutomation{}, of.New()); diff != "" {
		t.Error(diff)
	}
}

func TestWhatBecomesOfABranchIsTold(t *testing.T) {
	hash := func(digit string) plumbing.Hash { return plumbing.NewHash(strings.Repeat(digit, 40)) }
	source, foreign, made := hash("1"), hash("2"), hash("3")
	seen := observation{request: writeback.Request{Push: "updates"}}
	tests := map[string]struct {
		written writeback.Result
		base    string
		reason  string // "" when nothing is told
		says    string
		at      plumbing.Hash
	}{
		"nothing":        {written: writeback.Result{Source: source}},
		"a commit alone": {written: writeback.Result{Source: source, Commit: made}, base: "x"},
		"a proposal that nobody wants any more": {
			written: writeback.Result{Source: source, Withdrawn: made}, reason: imagev1.ProposalWithdrawnReason, at: source,
			says: "branch 'updates' had images that no policy stands for any more: it is '1111111' again, and was '3333333'",
		},
		"commits of others": {
			written: writeback.Result{Source: source, Label: "main", Foreign: foreign, Commit: made},
			base:    "x", reason: imagev1.PushBranchExtendedReason, at: foreign,
			says: "branch 'updates' has commits of others up to '2222222': it is extended from now on, not built anew on 'main'",
		},
		"commits of others, that were told of":       {written: writeback.Result{Source: source, Foreign: foreign, Commit: made}},
		"commits of others, on which nothing is put": {written: writeback.Result{Source: source, Foreign: foreign}, base: "x"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			a := automation()
			a.Status.LastPushBase = tc.base
			events := branchEvents(a, seen, tc.written)
			if tc.reason == "" {
				if len(events) > 0 {
					t.Errorf("told %+v", events)
				}
				return
			}
			if len(events) != 1 || events[0].Reason != tc.reason || events[0].Message != tc.says || events[0].Type != "Normal" {
				t.Fatalf("told %+v", events)
			}
			want := map[string]string{imagev1.RevisionAnnotation: "updates@sha1:" + tc.at.String(), imagev1.CommitAnnotation: tc.at.String()}
			if diff := cmp.Diff(want, events[0].Metadata); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestABranchOfOthersIsRemarkedOn(t *testing.T) {
	a := automation()
	a.Status.Markers = &imagev1.MarkerCounts{}
	seen := observation{request: writeback.Request{Push: "updates"}}
	if text := remarks(a, seen, writeback.Result{}); text != "" {
		t.Errorf("of nothing: %q", text)
	}
	foreign := writeback.Result{Foreign: plumbing.NewHash(strings.Repeat("2", 40))}
	if text := remarks(a, seen, foreign); text != "; branch 'updates' has commits of others and is not rebuilt" {
		t.Errorf("remarked %q", text)
	}
}

func TestWhatFailedAtTheRemoteComesWithARemedy(t *testing.T) {
	seen := observation{
		request: writeback.Request{Push: "updates"},
		repo:    source(func(r *sourcev1.GitRepository) { r.Spec.URL = "https://git.example.com/app" }),
	}
	tests := map[string]struct {
		err    error
		says   string
		reason string // of a refusal
	}{
		"a format that is not read": {git.ErrObjectFormat, "GitRepository apps/app: spec.url: ", imagev1.InvalidSourceConfigReason},
		"a scheme":                  {git.ErrUnsupportedURL, "GitRepository apps/app: spec.url: ", imagev1.InvalidSourceConfigReason},
		"a reference":               {git.ErrInvalidReference, "spec.git.checkout.ref: ", imagev1.InvalidSourceConfigReason},
		"a destination that went another way": {
			writeback.ErrDiverged, "; delete the destination, or set it to the push branch", "",
		},
		"a branch that is protected": {
			git.ErrRejected, "have the server let the account of GitRepository apps/app push such commits to branch " +
				"'updates', or set spec.git.push.branch to another one", "",
		},
		"credentials":     {git.ErrUnauthorized, "; reading and pushing have to be allowed", ""},
		"a host key":      {git.ErrHostKey, "GitRepository apps/app: ", ""},
		"what is nothing": {git.ErrRepositoryNotFound, "GitRepository apps/app: ", ""},
		"a Secret":        {git.ErrCredentials, "GitRepository apps/app: ", ""},
		"anything else":   {errors.New("no route to host"), "no route to host", ""},
	}
	for name, tc := range tests {
		got := advise(automation(), seen, fmt.Errorf("pushing: %w", tc.err))
		if !errors.Is(got, tc.err) || !strings.Contains(got.Error(), tc.says) {
			t.Errorf("%s: %v", name, got)
		}
		if refused := errors.Is(got, reconcile.TerminalError(nil)); refused != (tc.reason != "") {
			t.Errorf("%s: refused: %v", name, refused)
		}
		if got := reconciler.ReasonOf(got, (*Reconciler)(nil).Reason); tc.reason != "" && got != tc.reason {
			t.Errorf("%s: reason %s", name, got)
		}
	}
}

func TestWhatIsRememberedOfAnAutomationGoesWithIt(t *testing.T) {
	f, a, p := newFixture(t), automation(), policy("2")
	a.Status.Markers = &imagev1.MarkerCounts{Total: 3, Current: 2}
	observeMarkers(a)
	before := testutil.CollectAndCount(markers)
	f.tracker.recordPush(a.UID, push{commit: "1"})
	f.tracker.recordChoice(p, time.Unix(1, 0))
	f.onDelete(t.Context(), event.DeleteEvent{Object: a}, nil)
	if after := testutil.CollectAndCount(markers); after != before-4 || len(f.tracker.automations) > 0 {
		t.Errorf("%d metrics of %d, tracked %v", after, before, f.tracker.automations)
	}
	deleted := false
	h := policyHandler{EventHandler: handler.Funcs{
		DeleteFunc: func(context.Context, event.DeleteEvent, workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			deleted = true
		},
	}, tracker: &f.tracker}
	h.Delete(t.Context(), event.DeleteEvent{Object: p}, nil)
	if !deleted || len(f.tracker.policies) > 0 {
		t.Errorf("passed on: %v, tracked %v", deleted, f.tracker.policies)
	}
}

func TestCommitsHaveNamesUnlessNobodyKnowsThem(t *testing.T) {
	if nameOf(plumbing.ZeroHash) != "" || nameOf(plumbing.NewHash(strings.Repeat("1", 40))) != strings.Repeat("1", 40) {
		t.Error("a commit has another name")
	}
}

func TestHowManyMarkersAreSkipped(t *testing.T) {
	for want, got := range map[string]string{
		"1 marker is skipped": countSkipped(1, "marker"), "2 markers are skipped": countSkipped(2, "marker"),
		"1 more marker is skipped": countSkipped(1, "more marker"), "2 more markers are skipped": countSkipped(2, "more marker"),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	var lines []writeback.Line
	for i := range maxNamed + 2 {
		lines = append(lines, writeback.Line{File: fmt.Sprintf("%d.yaml", i), Policy: fmt.Sprint("p", i/2), Skip: "why"})
	}
	if e := markerEvent("Because", lines, "; see"); !strings.HasSuffix(e.Message, "; and 2 more; see") ||
		e.Metadata[imagev1.PolicyAnnotation] != "p0,p1,p2" || e.Type != "Warning" {
		t.Errorf("told %+v", e)
	}
	if e := markerEvent("Because", lines[:maxNamed], ""); strings.Contains(e.Message, "more") {
		t.Errorf("told %+v", e)
	}
}

func TestWhatWasToldOfMarkersIsNotToldAgain(t *testing.T) {
	last := &imagev1.MarkerCounts{Skipped: []imagev1.SkippedMarkers{{Reason: "a", Count: 3, Digest: "d"}, {Reason: "b", Count: 3}}}
	tests := map[string]struct {
		last *imagev1.MarkerCounts
		now  writeback.SkippedBy
		want bool
	}{
		"the first run":               {nil, writeback.SkippedBy{Reason: "a", Count: 1}, false},
		"the same":                    {last, writeback.SkippedBy{Reason: "a", Count: 3, Digest: "d"}, true},
		"fewer":                       {last, writeback.SkippedBy{Reason: "a", Count: 2, Digest: "e"}, true},
		"as many others":              {last, writeback.SkippedBy{Reason: "a", Count: 3, Digest: "e"}, false},
		"as many, as far as is known": {last, writeback.SkippedBy{Reason: "b", Count: 3, Digest: "e"}, true},
		"more":                        {last, writeback.SkippedBy{Reason: "b", Count: 4, Digest: "e"}, false},
		"another reason":              {last, writeback.SkippedBy{Reason: "c", Count: 1, Digest: "d"}, false},
	}
	for name, tc := range tests {
		if got := wasReported(tc.last, tc.now); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// failing is the fixture's client, which fails to list and to read objects of a type.
func failing[T any](t *testing.T, f fixture) client.Client {
	t.Helper()
	trouble := errors.New("the API server has trouble")
	return interceptor.NewClient(f.Client.(client.WithWatch), interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			if _, ok := list.(T); ok {
				return trouble
			}
			return c.List(ctx, list, opts...)
		},
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, into client.Object, opts ...client.GetOption) error {
			if _, ok := into.(T); ok {
				return trouble
			}
			return c.Get(ctx, key, into, opts...)
		},
	})
}

func TestTroubleOfTheAPIServerIsTold(t *testing.T) {
	f := newFixture(t, credentials(), source(), policy("2"), automation())
	plain := f.Client
	f.Client = failing[*imagev1.ImagePolicyList](t, f)
	if _, err := f.Reconcile(t.Context(), automation()); err == nil || !strings.HasPrefix(err.Error(), "listing image policies: ") {
		t.Errorf("without policies: %v", err)
	}
	f.Client = plain
	f.Client = failing[*sourcev1.GitRepositoryList](t, f)
	result, err := f.Reconcile(t.Context(), automation())
	if err != nil || len(result.Events) != 2 ||
		!strings.HasPrefix(result.Events[1].Message, "listing the GitRepositories of namespace apps: the API server has trouble; commit '") {
		t.Errorf("without sources: %+v, %v", result, err)
	}
	f.Client = plain
	f.Client = failing[*imagev1.ImageUpdateAutomationList](t, f)
	if woken := len(f.automationsOfPolicy(t.Context(), policy("2"))) + len(f.automationsOfSource(t.Context(), source())) +
		len(f.automationsOfPipeline(t.Context(), shop())); woken > 0 {
		t.Errorf("%d are woken without a list", woken)
	}
}

func TestAPipelineWakesTheAutomationsBesideIt(t *testing.T) {
	elsewhere := automation(func(a *imagev1.ImageUpdateAutomation) { a.Namespace = "others" })
	f := newFixture(t, automation(), elsewhere)
	if got := f.automationsOfPipeline(t.Context(), shop()); len(got) != 1 ||
		got[0].NamespacedName != (types.NamespacedName{Namespace: "apps", Name: "auto"}) {
		t.Errorf("woken %v", got)
	}
}

func TestTheServerThatARunWaitsFor(t *testing.T) {
	f := newFixture(t, source(func(r *sourcev1.GitRepository) { r.Spec.URL = "https://git.example.com/app" }))
	if host := f.host(t.Context(), automation()); !strings.Contains(host, "git.example.com") {
		t.Errorf("it is %q", host)
	}
	if host := f.host(t.Context(), automation(func(a *imagev1.ImageUpdateAutomation) { a.Spec.SourceRef.Name = "none" })); host != "" {
		t.Errorf("of no source it is %q", host)
	}
}

func TestADeniedAutomationIsWokenByItsSource(t *testing.T) {
	a := automation()
	if denied(a) {
		t.Error("without a condition")
	}
	a.Status.Conditions = []metav1.Condition{{Type: meta.StalledCondition, Reason: "Other"}}
	if denied(a) {
		t.Error("for another reason")
	}
	if a.Status.Conditions[0].Reason = acl.AccessDeniedReason; !denied(a) {
		t.Error("it is not seen")
	}
}

func TestOnlyARequestToResumePasses(t *testing.T) {
	asked := automation(func(a *imagev1.ImageUpdateAutomation) {
		a.Annotations = map[string]string{imagev1.ResumeAnnotation: "now"}
	})
	for name, tc := range map[string]struct {
		before, after client.Object
		want          bool
	}{"nothing": {automation(), automation(), false}, "a request": {automation(), asked, true}, "the same": {asked, asked, false}} {
		if got := resumeAsked().Update(event.UpdateEvent{ObjectOld: tc.before, ObjectNew: tc.after}); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	for name, passes := range map[string]bool{
		"a policy that was none":   policyChanged().Update(event.UpdateEvent{ObjectOld: source(), ObjectNew: policy("2")}),
		"a policy that is none":    policyChanged().Update(event.UpdateEvent{ObjectOld: policy("2"), ObjectNew: source()}),
		"a pipeline that was none": stagesChanged().Update(event.UpdateEvent{ObjectOld: policy("2"), ObjectNew: shop()}),
	} {
		if passes {
			t.Errorf("%s passes", name)
		}
	}
	allowed := source(func(r *sourcev1.GitRepository) { r.Annotations = map[string]string{imagev1.WriteFromAnnotation: "*"} })
	if !sourceChanged().Update(event.UpdateEvent{ObjectOld: source(), ObjectNew: allowed}) {
		t.Error("a source that admits others does not pass")
	}
}

func TestMetricsAreRegisteredOnce(t *testing.T) {
	registry := prometheus.NewRegistry()
	for range 2 { // the second time they are there
		if err := registerMetrics(registry); err != nil {
			t.Fatal(err)
		}
	}
	registry = prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_push_conflicts_total"}))
	if err := registerMetrics(registry); err == nil {
		t.Error("another metric of the name is no error")
	}
}

func TestATimeoutOfTheSourceIsTheRuns(t *testing.T) {
	f := newFixture(t, credentials(),
		source(func(r *sourcev1.GitRepository) { r.Spec.Timeout = &metav1.Duration{Duration: 7 * time.Second} }), policy("2"))
	if seen, err := f.observe(t.Context(), automation()); err != nil || seen.timeout != 7*time.Second {
		t.Errorf("%s, %v", seen.timeout, err)
	}
}

func TestTheRevisionOfALastRun(t *testing.T) {
	hash := strings.Repeat("1", 40)
	for revision, want := range map[string]string{
		"main@sha1:" + hash: hash, "sha1:" + hash: hash, "main@sha1:123": "", "main@" + hash: "", "": "",
	} {
		if got := nameOf(commitOf(revision)); got != want {
			t.Errorf("%q is of %q", revision, got)
		}
	}
}
