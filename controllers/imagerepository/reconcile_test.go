// SPDX-License-Identifier: Apache-2.0

package imagerepository

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

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	fakeregistry "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/registry"
	"github.com/sluice-cd/sluice/scan"
	"github.com/sluice-cd/sluice/test/make"
)

// fixture is a reconciler, a registry, and an ImageRepository of its image.
type fixture struct {
	*Reconciler
	clock *clocktesting.FakePassiveClock
	host  string
	repo  *imagev1.ImageRepository
	scans atomic.Int64
}

func newFixture(t *testing.T, tags ...string) *fixture {
	t.Helper()
	f := &fixture{clock: clocktesting.NewFakePassiveClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))}
	images := fakeregistry.New(fakeregistry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/tags/list") {
			f.scans.Add(1)
		}
		images.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	f.host = strings.TrimPrefix(server.URL, "http://")
	f.Reconciler = &Reconciler{
		Secrets: fake.NewClientBuilder().Build(), Registry: registry.NewClient(f.clock), Clock: f.clock,
	}
	f.restart(scan.NewStore())
	f.repo = make.ImageRepository("apps", "app", func(r *imagev1.ImageRepository) { r.Spec.Image = f.host + "/team/app" })
	f.push(t, tags...)
	return f
}

// patience is longer than any registry here takes, unless the test is about that.
const patience = time.Minute

// restart forgets what is in memory.
func (f *fixture) restart(store *scan.Store) {
	f.Scanner = scan.NewScanner(scan.NewClient(f.Registry, f.clock), store)
	f.Scanner.SetPatience(patience)
}

// interval is the one of the fixture's object, which is a bit less than a minute.
func (f *fixture) interval() time.Duration { return interval(f.repo) }

func (f *fixture) push(t *testing.T, tags ...string) {
	t.Helper()
	f.pushTo(t, "/team/app", tags...)
}

func (f *fixture) pushTo(t *testing.T, image string, tags ...string) {
	t.Helper()
	for _, tag := range tags {
		ref, err := name.NewTag(f.host + image + ":" + tag)
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Write(ref, empty.Image); err != nil {
			t.Fatal(err)
		}
	}
}

// reconcile does what the runner does around Reconcile, as far as it matters
// here.
func (f *fixture) reconcile(t *testing.T) (reconciler.Result, error) {
	t.Helper()
	result, err := f.Reconcile(context.Background(), f.repo)
	status := metav1.ConditionTrue
	if err != nil {
		status = metav1.ConditionFalse
	}
	apimeta.SetStatusCondition(&f.repo.Status.Conditions, metav1.Condition{Type: meta.ReadyCondition, Status: status, Reason: "Test"})
	f.repo.Status.ObservedGeneration = f.repo.Generation
	f.repo.Status.LastHandledReconcileAt, _ = meta.ReconcileAnnotationValue(f.repo.Annotations)
	return result, err
}

func (f *fixture) mustReconcile(t *testing.T) reconciler.Result {
	t.Helper()
	result, err := f.reconcile(t)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func TestAScanIsSummedUp(t *testing.T) {
	f := newFixture(t, "1.0.0", "1.1.0", "1.1.0.sig", "a", "b", "c", "d", "e", "f", "g", "h", "i")
	got := f.mustReconcile(t)
	status := f.repo.Status
	want := &imagev1.ScanResult{
		Revision: status.LastScanResult.Revision, TagCount: 11, ScanTime: metav1.NewTime(f.clock.Now()),
		LatestTags: []string{"i", "h", "g", "f", "e", "d", "c", "b", "a", "1.1.0"},
	}
	if diff := cmp.Diff(want, status.LastScanResult); diff != "" {
		t.Error(diff)
	}
	if message := "successful scan: found 11 tags with checksum " + want.Revision; got.Message != message || got.After != f.interval() {
		t.Errorf("got %+v", got)
	}
	if status.CanonicalImageName != f.host+"/team/app" {
		t.Errorf("canonical name %q", status.CanonicalImageName)
	}
	if diff := cmp.Diff([]string{`^.*\.sig$`}, status.ObservedExclusionList); diff != "" {
		t.Error(diff)
	}
}

func TestTheRegistryIsAskedWhenItIsDue(t *testing.T) {
	tests := map[string]struct {
		change   func(*fixture)
		wantScan bool
		earlier  time.Duration // before the interval is over the object comes back
	}{
		"within the interval nothing is asked": {
			change:  func(f *fixture) { f.clock.SetTime(f.clock.Now().Add(20 * time.Second)) },
			earlier: 20 * time.Second},
		"when the interval has passed": {
			change: func(f *fixture) { f.clock.SetTime(f.clock.Now().Add(time.Minute)) }, wantScan: true},
		"on request": {
			change: func(f *fixture) {
				f.repo.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "now"}
			}, wantScan: true},
		"after a restart without a disk": {
			change: func(f *fixture) { f.restart(scan.NewStore()) }, wantScan: true},
		"after an edit, or after it was resumed": {
			change: func(f *fixture) { f.repo.Generation++ }, wantScan: true},
		"after the image was edited": {
			change: func(f *fixture) { f.repo.Spec.Image = strings.ToLower(f.host) + "/team/app2"; f.repo.Generation++ }, wantScan: true},
		"after a failure": {
			change: func(f *fixture) { f.repo.Status.Conditions[0].Status = metav1.ConditionFalse }, wantScan: true},
		"after the clock was set back": {
			change: func(f *fixture) { f.clock.SetTime(f.clock.Now().Add(-time.Hour)) }, wantScan: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, "1")
			f.pushTo(t, "/team/app2", "1")
			f.mustReconcile(t)
			tc.change(f)
			before := f.scans.Load()
			got := f.mustReconcile(t)
			if scanned := f.scans.Load() > before; scanned != tc.wantScan || got.After != f.interval()-tc.earlier {
				t.Errorf("scanned: %v, next after %s", scanned, got.After)
			}
		})
	}
}

func TestAScanThatFindsNothingNewWritesNothing(t *testing.T) {
	f := newFixture(t, "1")
	f.mustReconcile(t)
	first := f.repo.Status.DeepCopy()
	for range 9 {
		f.clock.SetTime(f.clock.Now().Add(time.Minute))
		f.mustReconcile(t)
	}
	if diff := cmp.Diff(first, &f.repo.Status); diff != "" {
		t.Error(diff)
	}
	f.clock.SetTime(f.clock.Now().Add(time.Minute))
	f.mustReconcile(t)
	if at := f.repo.Status.LastScanResult.ScanTime.Time; !at.Equal(f.clock.Now()) {
		t.Errorf("after ten minutes the scan time is still %s", at)
	}
	if n := f.scans.Load(); n != 11 {
		t.Errorf("%d scans", n)
	}
	f.push(t, "2")
	f.clock.SetTime(f.clock.Now().Add(time.Minute))
	f.mustReconcile(t)
	if got := f.repo.Status.LastScanResult; got.TagCount != 2 || !got.ScanTime.Time.Equal(f.clock.Now()) {
		t.Errorf("got %+v", got)
	}
}

func TestASpecThatCannotBeHonouredIsRefused(t *testing.T) {
	tests := map[string]struct {
		edit       func(*imagev1.ImageRepositorySpec)
		wantReason string
		wantError  string
	}{
		"a service account's identity in a cloud without the feature gate": {
			func(s *imagev1.ImageRepositorySpec) { s.Provider, s.ServiceAccountName = "aws", "app" },
			meta.FeatureGateDisabledReason, "please enable the ObjectLevelWorkloadIdentity feature gate"},
		"a tag in the image": {
			func(s *imagev1.ImageRepositorySpec) { s.Image = "ghcr.io/app:1" },
			imagev1.ImageURLInvalidReason, "spec.image"},
		"a broken exclusion": {
			func(s *imagev1.ImageRepositorySpec) { s.ExclusionList = []string{"("} },
			imagev1.InvalidExclusionListReason, "spec.exclusionList"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, "1")
			tc.edit(&f.repo.Spec)
			_, err := f.reconcile(t)
			if !errors.Is(err, reconcile.TerminalError(nil)) || !strings.Contains(err.Error(), tc.wantError) {
				t.Fatalf("got %v", err)
			}
			if reason := f.Reason(err); reason != tc.wantReason {
				t.Errorf("reason %s", reason)
			}
		})
	}
}

func TestFailuresHaveReasons(t *testing.T) {
	tests := map[string]struct {
		edit       func(*imagev1.ImageRepositorySpec)
		wantReason string
		wantRemedy string
	}{
		"an image that was not pushed": {
			func(s *imagev1.ImageRepositorySpec) { s.Image += "-soon" }, imagev1.ReadOperationFailedReason,
			"; correct spec.image, or push a first tag"},
		"a missing Secret": {
			func(s *imagev1.ImageRepositorySpec) { s.SecretRef = &meta.LocalObjectReference{Name: "gone"} },
			imagev1.AuthenticationFailedReason, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, "1")
			tc.edit(&f.repo.Spec)
			_, err := f.reconcile(t)
			if err == nil || errors.Is(err, reconcile.TerminalError(nil)) || f.Reason(err) != tc.wantReason ||
				!strings.HasSuffix(err.Error(), tc.wantRemedy) {
				t.Errorf("got %v", err)
			}
			if f.repo.Status.LastScanResult != nil {
				t.Errorf("status %+v", f.repo.Status)
			}
		})
	}
}

func TestAFailedScanLeavesTheLastTags(t *testing.T) {
	f := newFixture(t, "1")
	f.mustReconcile(t)
	result := f.repo.Status.LastScanResult
	f.repo.Spec.SecretRef = &meta.LocalObjectReference{Name: "gone"}
	f.repo.Generation++
	if _, err := f.reconcile(t); err == nil {
		t.Fatal("succeeded")
	}
	if diff := cmp.Diff(result, f.repo.Status.LastScanResult); diff != "" {
		t.Error(diff)
	}
	target, err := scan.NewTarget(f.repo)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := f.Scanner.Store().Get(client.ObjectKeyFromObject(f.repo), target); !ok {
		t.Error("the tags are gone")
	}
}
