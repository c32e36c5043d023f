// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

func TestHowACanaryStands(t *testing.T) {
	at := func(phase flaggerv1.CanaryPhase) canary.Decision {
		return canary.Decision{State: canary.State{Phase: phase, Promoted: "r1"}, Message: "message"}
	}
	with := func(d canary.Decision, change func(*canary.Decision)) canary.Decision { change(&d); return d }
	tests := map[string]struct {
		decided           canary.Decision
		target            canary.Workload
		progressing       bool
		fails, terminally bool
	}{
		"it waits for a release": {decided: at(flaggerv1.CanaryPhaseInitialized)},
		"it was promoted":        {decided: at(flaggerv1.CanaryPhaseSucceeded)},
		"it is tried":            {decided: at(flaggerv1.CanaryPhaseProgressing), progressing: true},
		"it waits for a person":  {decided: at(flaggerv1.CanaryPhaseWaiting), progressing: true},
		"its route settles": {
			decided: with(at(flaggerv1.CanaryPhaseSucceeded), func(d *canary.Decision) { d.Settling = true }), progressing: true,
		},
		"it failed": {
			decided: at(flaggerv1.CanaryPhaseFailed), target: canary.Workload{Exists: true, Revision: "r2"}, fails: true,
			terminally: true,
		},
		"it failed, and Git is back": {
			decided: at(flaggerv1.CanaryPhaseFailed), target: canary.Workload{Exists: true, Revision: "r1"},
		},
		"it failed, and its target is gone": {
			decided: at(flaggerv1.CanaryPhaseFailed), target: canary.Workload{Revision: "r1"}, fails: true, terminally: true,
		},
		"it failed, and users are led back": {
			decided: with(at(flaggerv1.CanaryPhaseFailed), func(d *canary.Decision) { d.After = time.Second }), progressing: true,
		},
		"something keeps it from working": {
			decided: with(at(flaggerv1.CanaryPhaseProgressing), func(d *canary.Decision) { d.Problem = "no pods" }), fails: true,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			result, err := readiness(reconciler.Result{Message: "message"}, canary.Observation{Target: tc.target}, tc.decided)
			if result.Progressing != tc.progressing || (err != nil) != tc.fails || errors.Is(err, reconcile.TerminalError(nil)) != tc.terminally {
				t.Errorf("progressing %v, %v", result.Progressing, err)
			}
		})
	}
}

func TestWhatAnEventOfACanarySays(t *testing.T) {
	c := podinfo()
	c.Status.CanaryWeight, c.Status.AppliedRevision = 30, "r1"
	about := map[string]string{flaggerv1.EventRevision: c.Status.Applied(), flaggerv1.EventWeight: "30", flaggerv1.EventState: "pending"}
	quiet := eventOf(c, canary.Event{Message: "advanced"})
	if diff := cmp.Diff(reconciler.Event{Type: "Normal", Reason: flaggerv1.EventSynced, Message: "advanced", Metadata: about},
		quiet); diff != "" {
		t.Error(diff)
	}
	loud := eventOf(c, canary.Event{Message: "failed", Warning: true, Alert: flaggerv1.SeverityError})
	about[flaggerv1.EventSeverity] = string(flaggerv1.SeverityError)
	if diff := cmp.Diff(reconciler.Event{Type: "Warning", Reason: flaggerv1.EventSynced, Message: "failed", Metadata: about},
		loud); diff != "" {
		t.Error(diff)
	}
}

func TestCookiesAreRecorded(t *testing.T) {
	c := podinfo()
	recordCookies(c, canary.Cookies{Canary: "c", Previous: "b", Primary: "p"})
	if c.Status.SessionAffinityCookie != "c" || c.Status.PreviousSessionAffinityCookie != "b" || c.Status.PrimarySessionAffinityCookie != "p" {
		t.Errorf("status %+v", c.Status)
	}
}

func TestTransitionsAreKnownPrecisely(t *testing.T) {
	var known transitions
	c := podinfo()
	at := time.Unix(1_700_000_000, 123)
	c.Status.LastTransitionTime = metav1.NewTime(at.Truncate(time.Second))
	if got := known.last(c); !got.Equal(at.Truncate(time.Second)) {
		t.Errorf("after a restart: %s", got)
	}
	if known.record(c.UID, at); !known.last(c).Equal(at) {
		t.Errorf("noted: %s", known.last(c))
	}
	c.Status.LastTransitionTime = metav1.NewTime(at.Add(time.Minute).Truncate(time.Second))
	if got := known.last(c); !got.Equal(c.Status.LastTransitionTime.Time) {
		t.Errorf("of another transition: %s", got)
	}
	if known.forget(c.UID); len(known.times) > 0 {
		t.Errorf("%v is kept", known.times)
	}
}

func TestWhatIsOnlyAStatusWakesNobody(t *testing.T) {
	scaled := func(change func(*autoscalingv2.HorizontalPodAutoscaler)) *autoscalingv2.HorizontalPodAutoscaler {
		hpa := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Name: "a", Labels: map[string]string{"a": "b"}}}
		change(hpa)
		return hpa
	}
	object := func(kind string, generation int64, label string) *metav1.PartialObjectMetadata {
		return &metav1.PartialObjectMetadata{
			TypeMeta:   metav1.TypeMeta{Kind: kind},
			ObjectMeta: metav1.ObjectMeta{Name: "a", Generation: generation, Labels: map[string]string{"a": label}},
		}
	}
	same := scaled(func(*autoscalingv2.HorizontalPodAutoscaler) {})
	tests := map[string]struct {
		before, after any
		want          bool
	}{
		"the replicas of an autoscaler": {same, scaled(func(h *autoscalingv2.HorizontalPodAutoscaler) { h.Status.DesiredReplicas = 5 }), true},
		"the spec of one":               {same, scaled(func(h *autoscalingv2.HorizontalPodAutoscaler) { h.Spec.MaxReplicas = 5 }), false},
		"the labels of one":             {same, scaled(func(h *autoscalingv2.HorizontalPodAutoscaler) { h.Labels = nil }), false},
		"an annotation of one": {
			same, scaled(func(h *autoscalingv2.HorizontalPodAutoscaler) { h.Annotations = map[string]string{"a": "b"} }),
			false,
		},
		"another one of the name": {same, scaled(func(h *autoscalingv2.HorizontalPodAutoscaler) { h.UID = "u" }), false},
		"one that goes": {same, scaled(func(h *autoscalingv2.HorizontalPodAutoscaler) {
			h.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
		}), false},
		"the status of a ScaledObject":   {object("ScaledObject", 1, "b"), object("ScaledObject", 1, "b"), true},
		"the spec of a ScaledObject":     {object("ScaledObject", 1, "b"), object("ScaledObject", 2, "b"), false},
		"the labels of a ScaledObject":   {object("ScaledObject", 1, "b"), object("ScaledObject", 1, "c"), false},
		"the status of a Gateway":        {object(gatewayKind, 1, "b"), object(gatewayKind, 1, "b"), true},
		"what may be all of an object":   {object("ConfigMap", 1, "b"), object("ConfigMap", 1, "b"), false},
		"what is of another type by now": {same, object("ScaledObject", 1, "b"), false},
		"anything else":                  {"a", "a", false},
	}
	for name, tc := range tests {
		if got := onlyStatus(tc.before, tc.after); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestHowAReleaseStands(t *testing.T) {
	for phase, want := range map[flaggerv1.CanaryPhase]string{
		flaggerv1.CanaryPhaseInitializing: "pending", flaggerv1.CanaryPhaseProgressing: "pending",
		flaggerv1.CanaryPhasePromoting: "pending", flaggerv1.CanaryPhaseFinalising: "pending",
		flaggerv1.CanaryPhaseInitialized: "success", flaggerv1.CanaryPhaseSucceeded: "success", flaggerv1.CanaryPhaseFailed: "failure",
	} {
		if got := commitState(phase); got != want {
			t.Errorf("in phase %s it stands at %s, want %s", phase, got, want)
		}
	}
}

// An API server that did not answer, or a MetricTemplate that somebody deleted, failed the commit of a
// release that had succeeded days ago.
func TestWhatIsSaidOfACanaryAtRestDoesNotFailItsCommit(t *testing.T) {
	passing, final := errors.New("the API server timed out"), reconcile.TerminalError(errors.New("no such template"))
	for name, tc := range map[string]struct {
		phase flaggerv1.CanaryPhase
		err   error
		want  string
	}{
		"a release that succeeded, and what passes":  {flaggerv1.CanaryPhaseSucceeded, passing, "success"},
		"a release that succeeded, and a mistake":    {flaggerv1.CanaryPhaseSucceeded, final, "success"},
		"a release that failed":                      {flaggerv1.CanaryPhaseFailed, passing, "failure"},
		"a release under way, and what passes":       {flaggerv1.CanaryPhaseProgressing, passing, "pending"},
		"a release under way that a mistake stops":   {flaggerv1.CanaryPhaseProgressing, final, "failure"},
		"a canary that a mistake keeps from its own": {"", final, "failure"},
		"a release under way":                        {flaggerv1.CanaryPhaseProgressing, nil, "pending"},
	} {
		if got := releaseState(tc.phase, tc.err); got != tc.want {
			t.Errorf("%s: the commit is %s, want %s", name, got, tc.want)
		}
	}
}

func TestAFailedRunSaysHowTheReleaseStands(t *testing.T) {
	e := newEnv(t, interceptor.Funcs{Get: func(
		_ context.Context, _ client.WithWatch, _ client.ObjectKey, _ client.Object, _ ...client.GetOption,
	) error {
		return errors.New("the API server timed out")
	}})
	c := podinfo()
	c.Status.Phase = flaggerv1.CanaryPhaseSucceeded
	result, err := e.r.Reconcile(t.Context(), c)
	if err == nil || result.About[flaggerv1.EventState] != "success" {
		t.Errorf("its events are about %v, %v", result.About, err)
	}
}

func TestWhatACanaryControllerIsSetUpWith(t *testing.T) {
	e := newEnv(t, interceptor.Funcs{})
	e.r.Version = "1.2.3"
	e.r.Registry = prometheus.NewRegistry()
	runnables, err := e.r.assemble(platform{config: &rest.Config{}, live: clients{workload: e.api}, caches: e.r.observer.watcher.caches},
		reconciler.Options{Clock: e.clock, Recorder: e})
	if err != nil || len(runnables) != 2 || e.r.Provider != defaultProvider || e.r.MinInterval != flaggerv1.MinAnalysisInterval {
		t.Errorf("%d runnables, provider %s, %v", len(runnables), e.r.Provider, err)
	}
	if got := testutil.ToFloat64(e.r.metrics.info.WithLabelValues("1.2.3", defaultProvider)); got != 1 {
		t.Errorf("flagger_info is %v", got)
	}
}
