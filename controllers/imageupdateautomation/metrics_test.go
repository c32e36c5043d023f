// SPDX-License-Identifier: Apache-2.0

package imageupdateautomation

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/event"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
)

// commits are how many the histogram has, and how long they took together.
func commits(t *testing.T) (count uint64, seconds float64) {
	t.Helper()
	var written dto.Metric
	if err := commitDuration.Write(&written); err != nil {
		t.Fatal(err)
	}
	return written.GetHistogram().GetSampleCount(), written.GetHistogram().GetSampleSum()
}

// TestTheTimeFromAChoiceToItsCommitIsMeasuredOnce follows choices to their commits.
func TestTheTimeFromAChoiceToItsCommitIsMeasuredOnce(t *testing.T) {
	found := metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	tells := func(p *imagev1.ImagePolicy) {
		p.Status.LatestRefTime = &found
	}
	for name, tc := range map[string]struct {
		change func(*imagev1.ImagePolicy)
		// later is the time until the policy chooses again, and wait until that is written.
		later, wait time.Duration
		want        []float64
	}{
		"a choice of before the process counts from when it was made": {tells, 0, time.Minute, []float64{60}},
		"one of unknown age does not":                                 {func(*imagev1.ImagePolicy) {}, 0, time.Minute, nil},
		"a new one counts from when it is seen":                       {func(*imagev1.ImagePolicy) {}, time.Hour, 2 * time.Second, []float64{2}},
		"and so does one that follows a known first":                  {tells, time.Hour, 2 * time.Second, []float64{2}},
	} {
		t.Run(name, func(t *testing.T) {
			p := policy("2", tc.change)
			f, a := newFixture(t, credentials(), source(), p), automation()
			clk := clocktesting.NewFakeClock(found.Time)
			f.Clock = clk
			f.automationsOfPolicy(t.Context(), p)
			if tc.later > 0 {
				clk.Step(tc.later)
				f.choose(t, p, "3")
				f.automationsOfPolicy(t.Context(), p)
			}
			clk.Step(tc.wait)
			before, sum := commits(t)
			f.reconciled(t, a)
			f.repo.Commit("main", map[string]string{"new.yaml": markedFile}) // is no news of the image
			f.reconciled(t, a)
			count, total := commits(t)
			if int(count-before) != len(tc.want) || len(tc.want) > 0 && total-sum != tc.want[0] {
				t.Errorf("%d commits of %vs, want %v", count-before, total-sum, tc.want)
			}
		})
	}
}

// TestMarkersHeldUpdatesAndLostRacesAreMeasured looks at what a run leaves behind.
func TestMarkersHeldUpdatesAndLostRacesAreMeasured(t *testing.T) {
	f, a := newFixture(t, credentials(), source(), policy("2")), automation()
	a.Name = "measured"
	f.repo.Commit("main", map[string]string{"skipped.yaml": "image: app:1 # {\"$imagepolicy\": \"apps:missing\"}\n"})
	f.reconciled(t, a)
	f.repo.Commit("main", map[string]string{"a.yaml": markedFile})
	f.reconciled(t, a)
	want := map[string]float64{"current": 0, "outdated": 0, "held": 1, "skipped": 1}
	for state, count := range want {
		if got := testutil.ToFloat64(markers.WithLabelValues("apps", "measured", state)); got != count {
			t.Errorf("%v markers are %s, want %v", got, state, count)
		}
	}
	if got := testutil.ToFloat64(heldUpdates.WithLabelValues("apps", "measured")); got != 1 {
		t.Errorf("%v updates are held", got)
	}
	series := testutil.CollectAndCount(markers) + testutil.CollectAndCount(heldUpdates)
	f.onDelete(t.Context(), event.DeleteEvent{Object: a}, nil)
	if left := testutil.CollectAndCount(markers) + testutil.CollectAndCount(heldUpdates); left != series-len(want)-1 {
		t.Errorf("%d series of %d are left of an automation that is gone", left, series)
	}

	lost := testutil.ToFloat64(pushConflicts)
	f.repo.Commit("main", map[string]string{"c.yaml": markedFile})
	undo := f.server.Intercept(func(next http.Handler) http.Handler {
		var pushes atomic.Int32 // the first only guesses where the branch is
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/git-receive-pack") && r.Method == http.MethodPost {
				if n := pushes.Add(1); n <= 2 {
					f.repo.Commit("main", map[string]string{"other.txt": fmt.Sprint(n)})
				}
			}
			next.ServeHTTP(w, r)
		})
	})
	defer undo()
	f.reconciled(t, automation())
	if got := testutil.ToFloat64(pushConflicts) - lost; got != 1 {
		t.Errorf("%v lost races", got)
	}
}
