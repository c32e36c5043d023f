// SPDX-License-Identifier: Apache-2.0

package imagerepository

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/registry/registrytest"
	"github.com/sluice-cd/sluice/internal/wake/waketest"
	"github.com/sluice-cd/sluice/scan"
)

// answer points the object to a registry that answers lists with handler.
func (f *fixture) answer(t *testing.T, handler http.HandlerFunc) {
	t.Helper()
	host := registrytest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/" {
			handler(w, r)
		}
	}))
	f.repo.Spec.Image = host + "/team/app"
}

func TestFaultsOfARegistryHaveReasons(t *testing.T) {
	code := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	text := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
	}
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	tests := map[string]struct {
		registry http.HandlerFunc
		reason   string
		message  string
	}{
		"401":         {code(401), imagev1.AuthenticationFailedReason, "registry refused access"},
		"429":         {code(429), imagev1.ReadOperationFailedReason, "limits the rate of requests, and is asked again when it allows"},
		"500":         {code(500), imagev1.ReadOperationFailedReason, "500"},
		"half a page": {text(`{"tags":["1"`), imagev1.ReadOperationFailedReason, "not a list of tags"},
		"garbage":     {text("\x00"), imagev1.ReadOperationFailedReason, "not a list of tags"},
		"too many": {
			text(`{"tags":["1","2","3","4"]}`),
			imagev1.ScanBudgetExceededReason,
			"set spec.maxTags higher than 3, or remove old tags",
		},
		"silence": {func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-done:
			case <-r.Context().Done():
			}
		}, imagev1.ReadOperationFailedReason, "did not answer in time: waited 1s"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, "1")
			f.answer(t, tc.registry)
			f.repo.Spec.MaxTags, f.repo.Spec.Timeout = 3, &metav1.Duration{Duration: time.Minute}
			if name == "silence" {
				f.repo.Spec.Timeout.Duration = time.Second
			}
			_, err := f.reconcile(t)
			if err == nil || errors.Is(err, reconcile.TerminalError(nil)) {
				t.Fatalf("got %v", err)
			}
			if reason := f.Reason(err); reason != tc.reason || !strings.Contains(err.Error(), tc.message) {
				t.Errorf("%s: %v", reason, err)
			}
		})
	}
}

func TestAListNearItsBudgetIsToldOf(t *testing.T) {
	f := newFixture(t, "1", "2", "3", "4", "5", "5.sig")
	for most, want := range map[int]bool{6: true, 7: true, 8: false, 0: false} {
		f.repo.Spec.MaxTags = most
		f.repo.Generation++
		f.mustReconcile(t)
		said := apimeta.FindStatusCondition(f.repo.Status.Conditions, imagev1.ScanBudgetCondition)
		if (said != nil) != want {
			t.Errorf("of %d tags: %+v", most, said)
		}
		if said != nil && (said.Status != metav1.ConditionTrue || said.ObservedGeneration != f.repo.Generation ||
			!strings.Contains(said.Message, "lists 6 of at most")) {
			t.Errorf("got %+v", said)
		}
	}
}

func TestAfterARestartTheTagsAreThereWithoutAScan(t *testing.T) {
	dir := t.TempDir()
	open := func() *scan.Store { return scan.NewStore(scan.InDir(dir, func(err error) { t.Error(err) })) }
	f := newFixture(t, "1", "2")
	f.restart(open())
	f.mustReconcile(t)
	before := f.repo.Status.DeepCopy()
	f.clock.SetTime(f.clock.Now().Add(20 * time.Second))
	f.restart(open())
	got := f.mustReconcile(t)
	if diff := cmp.Diff(before, &f.repo.Status); diff != "" || f.scans.Load() != 1 {
		t.Errorf("%d scans, status differs: %s", f.scans.Load(), diff)
	}
	f.clock.SetTime(f.clock.Now().Add(20 * time.Second))
	if later := f.mustReconcile(t); later.After != f.interval()-40*time.Second {
		t.Errorf("next after %s, then %s", got.After, later.After)
	}
}

// The tags of a Ready object count until the scan is done; a request is answered
// only by a scan.
func TestAScanThatTakesLongIsNotWaitedFor(t *testing.T) {
	pass := make(chan struct{})
	f := newFixture(t, "1")
	f.answer(t, func(w http.ResponseWriter, r *http.Request) {
		registrytest.Hold(r, pass)
		_, _ = io.WriteString(w, `{"tags":["1"]}`)
	})
	f.Scanner.SetPatience(time.Millisecond)
	done := waketest.Objects(t, f.Scanner.Done())
	steps := []struct {
		title       string
		change      func()
		progressing bool
	}{
		{"the first scan", func() {}, true},
		{"a rescan", func() { f.clock.SetTime(f.clock.Now().Add(time.Minute)) }, false},
		{"a request", func() { f.repo.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "now"} }, true},
	}
	for _, step := range steps {
		step.change()
		got := f.mustReconcile(t)
		if got.Progressing != step.progressing {
			t.Errorf("%s: %+v", step.title, got)
		}
		if step.progressing {
			f.repo.Status.Conditions[0].Status = metav1.ConditionUnknown
		}
		pass <- struct{}{}
		waketest.Next(t, done)
		if got = f.mustReconcile(t); got.Progressing || !strings.HasPrefix(got.Message, "successful scan: found 1 tags") {
			t.Errorf("%s, when it is done: %+v", step.title, got)
		}
	}
}

func TestIntervalsAreSpread(t *testing.T) {
	found := map[time.Duration]bool{}
	for _, name := range []string{"a", "b", "c", "d"} {
		f := &imagev1.ImageRepository{ObjectMeta: metav1.ObjectMeta{Name: name}}
		f.Spec.Interval.Duration = time.Hour
		got := interval(f)
		if got > time.Hour || got < time.Hour-time.Hour/10 {
			t.Errorf("%s: %s", name, got)
		}
		found[got] = true
	}
	if len(found) != 4 {
		t.Errorf("got %v", found)
	}
}
