// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/acl"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	fakeregistry "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/registry"
	"github.com/sluice-cd/sluice/scan"
	"github.com/sluice-cd/sluice/test/make"
)

// fixture is a reconciler over a registry with an image, its ImageRepository
// apps/app and an ImagePolicy of the same name.
type fixture struct {
	*Reconciler
	clock  *testclock.FakePassiveClock
	asked  atomic.Int64 // requests for manifests and blobs
	broken atomic.Bool  // the registry answers nothing but 503
	hang   atomic.Value // a chan struct{}: the registry says nothing before it is closed
	host   string
	repo   *imagev1.ImageRepository
	policy *imagev1.ImagePolicy
}

func newFixture(t *testing.T, objects ...client.Object) *fixture {
	t.Helper()
	f := &fixture{clock: testclock.NewFakePassiveClock(time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC))}
	images := fakeregistry.New(fakeregistry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.broken.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if wake, ok := f.hang.Load().(chan struct{}); ok && wake != nil {
			select {
			case <-wake:
			case <-r.Context().Done():
				return
			}
		}
		if strings.Contains(r.URL.Path, "/manifests/") || strings.Contains(r.URL.Path, "/blobs/") {
			f.asked.Add(1)
		}
		images.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	f.host = strings.TrimPrefix(server.URL, "http://")
	f.repo = make.ImageRepository("apps", "app", func(r *imagev1.ImageRepository) { r.Spec.Image = f.host + "/app" })
	f.policy = make.ImagePolicy("apps", "app")
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, imagev1.AddToScheme, sluicev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithObjects(f.repo).
		WithStatusSubresource(f.repo).WithIndex(&imagev1.ImagePolicy{}, byRepository, indexOf).
		WithIndex(&sluicev1.Pipeline{}, byPolicy, policiesOfPipeline).Build()
	f.Reconciler = &Reconciler{
		Client: c, Secrets: c, Registry: registry.NewClient(f.clock),
		Store: scan.NewStore(scan.WithClock(f.clock)), Clock: f.clock,
	}
	f.caches().lookUps.Patience = time.Minute // nothing here is slow, but for the machine
	return f
}

// push pushes a new image for each tag, scans, and returns the last digest.
func (f *fixture) push(t *testing.T, tags ...string) string {
	t.Helper()
	var digest string
	for _, tag := range tags {
		image, err := random.Image(16, 1)
		if err != nil {
			t.Fatal(err)
		}
		digest = f.put(t, tag, image)
	}
	f.scan(t)
	return digest
}

// put pushes an image and returns its digest.
func (f *fixture) put(t *testing.T, tag string, image v1.Image) string {
	t.Helper()
	ref, err := name.NewTag(f.host + "/app:" + tag)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, image); err != nil {
		t.Fatal(err)
	}
	hash, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return hash.String()
}

func (f *fixture) scan(t *testing.T) {
	t.Helper()
	target, err := scan.NewTarget(f.repo)
	if err != nil {
		t.Fatal(err)
	}
	access, err := f.Registry.Access(context.Background(), f.Secrets, scan.RegistrySpec(f.repo))
	if err != nil {
		t.Fatal(err)
	}
	tags, err := scan.NewClient(f.Registry, f.clock).Tags(context.Background(), target, access)
	if err != nil {
		t.Fatal(err)
	}
	f.Store.Put(client.ObjectKeyFromObject(f.repo), tags)
	f.repo.Status.CanonicalImageName = target.Repository.String()
	f.repo.Status.ObservedExclusionList = f.repo.GetExclusionList()
	if err := f.Client.Status().Update(context.Background(), f.repo); err != nil {
		t.Fatal(err)
	}
}

// reconcile does what the runner does around Reconcile, as far as it matters
// here.
func (f *fixture) reconcile() (reconciler.Result, error) {
	result, err := f.Reconcile(context.Background(), f.policy)
	ready := metav1.Condition{Type: meta.ReadyCondition, Status: metav1.ConditionTrue, Reason: result.Reason,
		Message: result.Message, ObservedGeneration: f.policy.Generation}
	if err != nil {
		ready.Status, ready.Reason, ready.Message = metav1.ConditionFalse, f.Reason(err), err.Error()
	}
	if result.Progressing {
		ready.Status = metav1.ConditionUnknown
	}
	apimeta.SetStatusCondition(&f.policy.Status.Conditions, ready)
	if at, ok := meta.ReconcileAnnotationValue(f.policy.Annotations); ok {
		f.policy.Status.LastHandledReconcileAt = at
	}
	return result, err
}

func (f *fixture) mustReconcile(t *testing.T) reconciler.Result {
	t.Helper()
	result, err := f.reconcile()
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func TestAChoiceIsTold(t *testing.T) {
	f := newFixture(t)
	begin := metav1.NewTime(f.clock.Now().Local())
	f.push(t, "1.0.0", "2.0.0", "latest")
	got := f.mustReconcile(t)
	want := reconciler.Result{
		Reason: meta.SucceededReason, Message: "Latest image tag for " + f.host + "/app resolved to 1.0.0",
		Events: []reconciler.Event{{
			Type: corev1.EventTypeNormal, Reason: meta.SucceededReason,
			Message: "Latest image tag for " + f.host + "/app resolved to 1.0.0; first of 1 by semver 1.x; " +
				"2 tags dropped: 1 not a semantic version (latest), 1 outside the range (2.0.0)",
			Metadata: map[string]string{imagev1.PolicyAnnotation: f.policy.Name, imagev1.NewAnnotation: f.host + "/app:1.0.0"},
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	f.pass(time.Hour)
	f.push(t, "1.1.0")
	scanned := metav1.NewTime(f.clock.Now().Local())
	f.pass(time.Hour)
	chosen := metav1.NewTime(f.clock.Now())
	got = f.mustReconcile(t)
	message := "Latest image tag for " + f.host + "/app resolved to 1.1.0 (previously " + f.host + "/app:1.0.0)"
	if got.Message != message || len(got.Events) != 1 {
		t.Errorf("got %+v", got)
	}
	f.pass(time.Hour) // the choice is as old as it is
	got = f.mustReconcile(t)
	if got.Message != message || len(got.Events) != 0 {
		t.Errorf("the same choice again: %+v", got)
	}
	wantStatus := imagev1.ImagePolicyStatus{
		LatestRef:           &imagev1.ImageRef{Name: f.host + "/app", Tag: "1.1.0"},
		LatestRefTime:       &chosen,
		ObservedPreviousRef: &imagev1.ImageRef{Name: f.host + "/app", Tag: "1.0.0"},
		Conditions:          f.policy.Status.Conditions,
		Decision: &imagev1.Decision{
			Rule: "semver 1.x", Total: 4, Qualified: 2,
			Dropped: []imagev1.DroppedTags{
				{Rule: "not a semantic version", Count: 1, Example: "latest"},
				{Rule: "outside the range", Count: 1, Example: "2.0.0"},
			},
			Candidates: []imagev1.Candidate{{Tag: "1.1.0", FirstSeen: &scanned}, {Tag: "1.0.0", FirstSeen: &begin}},
		},
	}
	if diff := cmp.Diff(wantStatus, f.policy.Status); diff != "" {
		t.Error(diff)
	}
}

func TestWhatStandsInTheWay(t *testing.T) {
	tests := map[string]struct {
		arrange      func(*testing.T, *fixture)
		wantReason   string
		wantMessage  string
		wantTerminal bool
	}{
		"the repository does not exist": {
			arrange:    func(_ *testing.T, f *fixture) { f.policy.Spec.ImageRepositoryRef.Name = "gone" },
			wantReason: imagev1.DependencyNotReadyReason, wantMessage: "ImageRepository apps/gone does not exist: create it, or correct"},
		"the repository was not scanned": {
			arrange:    func(*testing.T, *fixture) {},
			wantReason: imagev1.DependencyNotReadyReason, wantMessage: "ImageRepository apps/app was not scanned yet"},
		"no tag qualifies": {
			arrange:     func(t *testing.T, f *fixture) { f.push(t, "2.0.0") },
			wantReason:  "Failure",
			wantMessage: "unable to determine latest tag: the only tag does not qualify for semver 1.x: 1 outside the range (2.0.0)"},
		"the range is broken": {
			arrange:    func(_ *testing.T, f *fixture) { f.policy.Spec.Policy.SemVer.Range = "*-*" },
			wantReason: imagev1.InvalidPolicyReason, wantMessage: "spec.policy.semver.range", wantTerminal: true},
		"there are two policies": {
			arrange:    func(_ *testing.T, f *fixture) { f.policy.Spec.Policy.Numerical = &imagev1.NumericalPolicy{} },
			wantReason: imagev1.InvalidPolicyReason, wantMessage: "only one of semver, numerical", wantTerminal: true},
		"there is no policy": {
			arrange:    func(_ *testing.T, f *fixture) { f.policy.Spec.Policy.SemVer = nil },
			wantReason: imagev1.InvalidPolicyReason, wantMessage: "one of semver, alphabetical, numerical", wantTerminal: true},
		"the pattern is broken": {
			arrange:    func(_ *testing.T, f *fixture) { f.policy.Spec.FilterTags = &imagev1.TagFilter{Pattern: "["} },
			wantReason: imagev1.InvalidPolicyReason, wantMessage: "spec.filterTags.pattern", wantTerminal: true},
		"Always has no interval": {
			arrange:    func(_ *testing.T, f *fixture) { f.policy.Spec.DigestReflectionPolicy = imagev1.ReflectAlways },
			wantReason: imagev1.IntervalNotConfiguredReason, wantTerminal: true,
			wantMessage: "spec.interval must be set when spec.digestReflectionPolicy is set to 'Always'"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			tc.arrange(t, f)
			_, err := f.reconcile()
			if err == nil || f.Reason(err) != tc.wantReason || !strings.Contains(err.Error(), tc.wantMessage) {
				t.Errorf("got %v", err)
			}
			if terminal := errors.Is(err, reconcile.TerminalError(nil)); terminal != tc.wantTerminal {
				t.Errorf("terminal: %v", terminal)
			}
		})
	}
}

func TestAccess(t *testing.T) {
	from := func(labels ...map[string]string) *acl.AccessFrom {
		var a acl.AccessFrom
		for _, l := range labels {
			a.NamespaceSelectors = append(a.NamespaceSelectors, acl.NamespaceSelector{MatchLabels: l})
		}
		return &a
	}
	tests := map[string]struct {
		namespace string
		access    *acl.AccessFrom
		blocked   bool
		want      bool
	}{
		"the own namespace needs no leave":             {namespace: "apps", want: true},
		"the own namespace is never a cross reference": {namespace: "apps", blocked: true, want: true},
		"no access list denies":                        {namespace: "team"},
		"an empty access list denies":                  {namespace: "team", access: from()},
		"an empty selector lets everybody in":          {namespace: "team", access: from(nil), want: true},
		"matching labels let in":                       {namespace: "team", access: from(map[string]string{"tenant": "a"}), want: true},
		"one of several selectors is enough": {
			namespace: "team",
			access:    from(map[string]string{"tenant": "b"}, map[string]string{"tenant": "a"}),
			want:      true,
		},
		"all labels of a selector must match":   {namespace: "team", access: from(map[string]string{"tenant": "a", "env": "prod"})},
		"other labels do not":                   {namespace: "team", access: from(map[string]string{"tenant": "b"})},
		"blocked cross references stay blocked": {namespace: "team", access: from(nil), blocked: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
				Name: "team", Labels: map[string]string{"tenant": "a", "env": "test"}}})
			f.repo.Spec.AccessFrom = tc.access
			if err := f.Client.Update(context.Background(), f.repo); err != nil {
				t.Fatal(err)
			}
			f.push(t, "1.0.0")
			f.NoCrossNamespaceRefs = tc.blocked
			f.policy.Namespace = tc.namespace
			f.policy.Spec.ImageRepositoryRef.Namespace = "apps"
			_, err := f.reconcile()
			if tc.want != (err == nil) || err != nil && f.Reason(err) != acl.AccessDeniedReason {
				t.Errorf("got %v", err)
			}
			if !tc.want && f.policy.Status.LatestRef != nil {
				t.Errorf("denied, and told: %v", f.policy.Status.LatestRef)
			}
		})
	}
}

func TestARestartChangesNothingUntilTheTagsAreBack(t *testing.T) {
	tests := map[string]struct {
		meanwhile func(*fixture)
		want      bool
	}{
		"nothing happened":            {func(*fixture) {}, true},
		"the repository is suspended": {func(f *fixture) { f.repo.Spec.Suspend = true }, true},
		"the policy was edited":       {func(f *fixture) { f.policy.Generation++ }, false},
		"the image was changed":       {func(f *fixture) { f.repo.Spec.Image = f.host + "/other" }, false},
		"the exclusions were changed": {func(f *fixture) { f.repo.Spec.ExclusionList = []string{"1"} }, false},
		"the policy was not ready":    {func(f *fixture) { f.policy.Status.Conditions[0].Status = metav1.ConditionFalse }, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.push(t, "1.0.0")
			f.mustReconcile(t)
			f.Store = scan.NewStore(scan.WithClock(f.clock))
			tc.meanwhile(f)
			if err := f.Client.Update(context.Background(), f.repo); err != nil {
				t.Fatal(err)
			}
			before := f.policy.Status.DeepCopy()
			result, err := f.reconcile()
			if (err == nil) != tc.want || err != nil && f.Reason(err) != imagev1.DependencyNotReadyReason {
				t.Fatalf("got %v", err)
			}
			if tc.want {
				if diff := cmp.Diff(before, &f.policy.Status); diff != "" || result.Events != nil {
					t.Error(diff, result.Events)
				}
			}
		})
	}
}
