// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/canary/object"
	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/canary/router"
	"github.com/sluice-cd/sluice/canary/workload"
)

func TestWhatIsAskedOfACanary(t *testing.T) {
	c := podinfo()
	c.Spec.Suspend, c.Spec.RevertOnDeletion, c.Finalizers = false, false, nil
	if kind.Suspended(c) || kind.Finalizer(c) != "" {
		t.Error("a plain one is suspended, or has a finalizer")
	}
	if c.Spec.Suspend = true; !kind.Suspended(c) {
		t.Error("spec.suspend is not seen")
	}
	if c.Spec.RevertOnDeletion = true; kind.Finalizer(c) != finalizer {
		t.Error("one that is to be reverted has no finalizer")
	}
	if c.Spec.RevertOnDeletion, c.Finalizers = false, []string{finalizer}; kind.Finalizer(c) != finalizer {
		t.Error("a finalizer of Flagger's is taken away")
	}
	seen := kind.Observed(c)
	if *seen.Generation, *seen.HandledAt = 7, "now"; c.Status.ObservedGeneration != 7 || c.Status.LastHandledReconcileAt != "now" {
		t.Errorf("status %+v", c.Status)
	}
	if c.Status.AppliedRevision = "r1"; kind.About(c)[flaggerv1.EventRevision] != c.Status.Applied() || c.Status.Applied() == "" {
		t.Errorf("events have %v", kind.About(c))
	}
	if diff := cmp.Diff(&flaggerv1.Canary{}, kind.New()); diff != "" {
		t.Error(diff)
	}
}

// lastWeights is a router whose routes cannot be repaired, and that takes all weights but some.
type lastWeights struct {
	router.Router
	set     []provider.Weights
	refuses int // the weight of a canary
}

var errRoute = errors.New("the route is broken")

func (*lastWeights) Reconcile(context.Context, *flaggerv1.Canary) error { return errRoute }

func (r *lastWeights) SetWeights(_ context.Context, _ *flaggerv1.Canary, w provider.Weights) error {
	if w.Canary == r.refuses {
		return fmt.Errorf("weight %d is refused", w.Canary)
	}
	r.set = append(r.set, w)
	return nil
}

func TestAfterAFailureUsersAreOnlyLedBack(t *testing.T) {
	notify := canary.Notify{Hook: flaggerv1.RollbackHook}
	tests := map[string]struct {
		actions []canary.Action
		refuses int
		want    []provider.Weights
		told    bool
		says    []string // of the error; empty for none
	}{
		"nothing fails": {
			actions: []canary.Action{canary.SetWeights{Weights: provider.Split(20)}, notify},
			refuses: -1, want: []provider.Weights{provider.Split(20)}, told: true,
		},
		"more users are not led to it": {
			actions: []canary.Action{canary.EnsureRoute{}, canary.SetWeights{Weights: provider.Split(20)}, notify},
			refuses: -1, says: []string{errRoute.Error()},
		},
		"all users are led back": {
			actions: []canary.Action{canary.EnsureRoute{}, notify, canary.SetWeights{Weights: provider.ToPrimary}}, refuses: -1,
			want: []provider.Weights{provider.ToPrimary}, says: []string{errRoute.Error()},
		},
		"both failures are told": {
			actions: []canary.Action{canary.EnsureRoute{}, canary.SetWeights{Weights: provider.ToPrimary}},
			says:    []string{errRoute.Error(), "weight 0 is refused"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r, told := &lastWeights{refuses: tc.refuses}, false
			p := performer{router: r, routed: podinfo(), notify: func(hook flaggerv1.HookType) { told = hook == flaggerv1.RollbackHook }}
			err := p.perform(t.Context(), tc.actions)
			if (err != nil) != (len(tc.says) > 0) {
				t.Errorf("error %v", err)
			}
			for _, text := range tc.says {
				if !strings.Contains(fmt.Sprint(err), text) {
					t.Errorf("%v does not say %q", err, text)
				}
			}
			if diff := cmp.Diff(tc.want, r.set); diff != "" || told != tc.told {
				t.Errorf("told %v, weights (-want +got):\n%s", told, diff)
			}
		})
	}
}

func TestReasonsOfACanaryThatIsNotReady(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		want string
	}{
		"labels that others have":        {workload.ErrShared, flaggerv1.NotReadyReason},
		"a place that is taken":          {workload.ErrTaken, flaggerv1.NotReadyReason},
		"a place that is taken for good": {reconcile.TerminalError(workload.ErrTaken), flaggerv1.InvalidSpecReason},
		"a route that is not there":      {object.ErrMissing, flaggerv1.NotReadyReason},
		"a kind that is not there":       {router.ErrNotInstalled, flaggerv1.NotInstalledReason},
		"what no retry can mend":         {reconcile.TerminalError(errRoute), flaggerv1.InvalidSpecReason},
		"anything else":                  {errRoute, flaggerv1.ReconciliationFailedReason},
	} {
		if got := (*Reconciler)(nil).Reason(fmt.Errorf("doing: %w", tc.err)); got != tc.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestWhoDependsOnAnObject(t *testing.T) {
	ref := func(name string) clusterRef {
		return clusterRef{
			clusterKind{schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}, workloadCluster},
			types.NamespacedName{Namespace: "test", Name: name},
		}
	}
	a, b := types.NamespacedName{Namespace: "test", Name: "a"}, types.NamespacedName{Namespace: "test", Name: "b"}
	var index dependencyIndex
	check := func(when, object string, want ...string) {
		t.Helper()
		var got []string
		for _, key := range index.dependentsOf(ref(object)) {
			got = append(got, key.Name)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %s wakes %v, want %v", when, object, got, want)
		}
	}
	index.forget(a)
	check("at first", "x")
	index.set(a, []clusterRef{ref("x"), ref("y")})
	index.set(b, []clusterRef{ref("x")})
	check("with two", "x", "a", "b")
	check("with two", "y", "a")
	index.set(a, []clusterRef{ref("z")})
	check("after a change", "x", "b")
	check("after a change", "y")
	check("after a change", "z", "a")
	index.forget(b)
	index.forget(a)
	check("in the end", "x")
	if len(index.dependents) > 0 || len(index.needs) > 0 {
		t.Errorf("%v and %v are left", index.dependents, index.needs)
	}
}

func TestVerdictsAndStandingsAreCounted(t *testing.T) {
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	c := podinfo()
	for phase, want := range map[flaggerv1.CanaryPhase]float64{
		flaggerv1.CanaryPhaseProgressing: 0, flaggerv1.CanaryPhaseFailed: 2,
		flaggerv1.CanaryPhaseSucceeded: 1, flaggerv1.CanaryPhaseInitialized: 1,
	} {
		c.Status.Phase, c.Status.CanaryWeight = phase, 30
		m.observePhase(c)
		if got := testutil.ToFloat64(m.status); got != want {
			t.Errorf("%s is %v, want %v", phase, got, want)
		}
	}
	for workload, want := range map[string]float64{c.Spec.TargetRef.Name: 30, c.Spec.TargetRef.Name + "-primary": 70} {
		if got := testutil.ToFloat64(m.weight.WithLabelValues(workload, c.Namespace)); got != want {
			t.Errorf("weight of %s: %v", workload, got)
		}
	}
	for _, result := range []canary.ReleaseResult{canary.ResultPromoted, canary.ResultSkipped, canary.ResultFailed, canary.ResultNone} {
		m.countResult(c, result, c.CreationTimestamp.Time)
	}
	for result, vec := range map[string]*prometheus.CounterVec{"completed": m.successes, "skipped": m.successes} {
		if got := testutil.ToFloat64(vec.WithLabelValues(c.Spec.TargetRef.Name, c.Namespace, string(c.DeploymentStrategy()), result)); got != 1 {
			t.Errorf("%s: %v", result, got)
		}
	}
	if got := testutil.ToFloat64(m.failures); got != 1 || testutil.CollectAndCount(m.verdicts) > 0 {
		t.Errorf("%v failures, and %d durations of what has no history", got, testutil.CollectAndCount(m.verdicts))
	}
	if _, err := newMetrics(prometheus.NewRegistry()); err != nil {
		t.Error(err)
	}
}

// The ratio of a release stayed what it was for the one before, and that of errors which only the canary has was none.
func TestTheSeriesOfTheJudgeAreOfThisRelease(t *testing.T) {
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	c := podinfo()
	m.observePhase(c)
	for _, tc := range []struct {
		ratio string
		want  []float64
	}{{"1.2", []float64{1.2}}, {"infinite", []float64{math.Inf(1)}}, {"", nil}} {
		c.Status.Judge = &flaggerv1.CanaryJudgeStatus{Findings: []flaggerv1.CanaryJudgeFinding{{Metric: "errors", Ratio: tc.ratio}}}
		m.judged(c)
		if got := testutil.CollectAndCount(m.judgeRatio); got != len(tc.want) {
			t.Errorf("%q: %d series", tc.ratio, got)
		}
		for _, want := range tc.want {
			if got := testutil.ToFloat64(m.judgeRatio); got != want {
				t.Errorf("%q: %v", tc.ratio, got)
			}
		}
	}
	c.Status.Judge.SelfTest = &flaggerv1.CanaryJudgeSelfTest{Trials: 3, FalseAlarms: 1, Dispersion: "1.50"}
	c.Status.Judge.Findings = []flaggerv1.CanaryJudgeFinding{{Metric: "errors", Ratio: "1"}}
	for _, want := range []int{1, 0} { // then the spec asks for no judge any more
		m.judged(c)
		for _, series := range []prometheus.Collector{m.judgeRatio, m.judgeDispersion, m.judgeTrials, m.judgeFalseAlarms} {
			if got := testutil.CollectAndCount(series); got != want {
				t.Errorf("%d series, want %d", got, want)
			}
		}
		c.Status.Judge = nil
	}
}
