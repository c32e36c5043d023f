// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

func inStatus(p *sluicev1.Pipeline) { p.Spec.State = sluicev1.StateNone }

// newEnvInStatus is an env whose pipeline is an object of the API server, which keeps its
// state.
func newEnvInStatus(t *testing.T, changes ...func(*sluicev1.Pipeline)) *env {
	t.Helper()
	e := newEnv(t, append(changes, inStatus)...)
	e.pipeline.ResourceVersion = ""
	if err := e.Client.Create(t.Context(), e.pipeline); err != nil {
		t.Fatal(err)
	}
	return e
}

// recorded does what the runner does after a run: the status is written.
func (e *env) recorded() {
	e.t.Helper()
	if err := e.Client.Status().Update(e.t.Context(), e.pipeline); err != nil {
		e.t.Fatal(err)
	}
}

// restart is another process, which reads the pipeline anew.
func (e *env) restart() {
	e.t.Helper()
	e.Reconciler = e.process(e.Client)
	e.pipeline = &sluicev1.Pipeline{}
	e.get("shop", e.pipeline)
}

func TestAStateInTheStatus(t *testing.T) {
	e := newEnvInStatus(t)
	e.reconcile()
	e.release("2")
	e.reconcile()
	e.apply("staging")
	e.reconcile()
	e.apply("production", fails)
	e.reconcile()
	e.want("2", "1")
	e.recorded()
	if refs := e.repo.Git("for-each-ref", "--format=%(refname)"); strings.Contains(refs, "sluice/state") {
		t.Errorf("there are %s", refs)
	}
	if c := apimeta.FindStatusCondition(e.pipeline.Status.Conditions, sluicev1.StateDurableCondition); c == nil || c.Status != "False" {
		t.Errorf("StateDurable is %+v", c)
	}
	e.apply("production")
	e.restart()
	e.reconcile()
	e.want("2", "1")
	if q := e.pipeline.Status.Quarantined; len(q) != 1 || q[0].Stage != "production" {
		t.Errorf("after a restart %+v are in quarantine", q)
	}
}

// What is about to be written is in the status before the push: after a crash between the
// two the version lands once, and as a promotion of ours.
func TestACrashBetweenTheStatusAndThePush(t *testing.T) {
	e := newEnvInStatus(t)
	e.reconcile()
	e.release("2")
	e.crash(isWriting)
	e.want("1", "1")
	e.restart()
	if !strings.Contains(e.pipeline.Status.State, "writing:") {
		t.Fatalf("the state is %s", e.pipeline.Status.State)
	}
	e.reconcile()
	e.want("2", "1")
	if l := e.pipeline.Status.Stages[0].Landings; len(l) != 2 || l[0].Kind != sluicev1.LandingPromotion {
		t.Errorf("staging had %+v", l)
	}
	if got := strings.Count(e.repo.Git("log", "--format=%B", "main"), "Sluice-Stage: staging"); got != 1 {
		t.Errorf("version 2 was written %d times", got)
	}
}

func TestTwoWhoDecideAtTheSameTime(t *testing.T) {
	e := newEnvInStatus(t)
	e.reconcile()
	other := &sluicev1.Pipeline{}
	e.get("shop", other)
	other.Labels = map[string]string{"changed": "meanwhile"}
	e.update(other)
	e.release("2")
	if _, err := e.Reconcile(t.Context(), e.pipeline); !apierrors.IsConflict(err) {
		t.Fatalf("got %v", err)
	}
	e.want("1", "1")
	e.get("shop", e.pipeline)
	e.reconcile()
	e.want("2", "1")
}

func TestAStateMovesWithTheField(t *testing.T) {
	for name, tc := range map[string]struct{ from, to sluicev1.StateCarrier }{
		"from the branch to the status": {sluicev1.StateBranch, sluicev1.StateNone},
		"from the status to the branch": {sluicev1.StateNone, sluicev1.StateBranch},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnvInStatus(t, func(p *sluicev1.Pipeline) { p.Spec.State = tc.from })
			e.pipeline.Spec.State = tc.from
			e.update(e.pipeline)
			e.reconcile()
			e.release("2")
			e.reconcile()
			e.apply("staging", fails)
			e.reconcile()
			e.want("1", "1")
			e.recorded()
			e.pipeline.Spec.State = tc.to
			e.update(e.pipeline)
			e.restart()
			e.reconcile()
			e.recorded()
			e.restart()
			e.reconcile()
			s := e.pipeline.Status
			if len(s.Quarantined) != 1 || (s.State != "") != (tc.to == sluicev1.StateNone) ||
				(s.StateCommit != "") != (tc.to == sluicev1.StateBranch) {
				t.Errorf("quarantine %+v, commit %q, state %q", s.Quarantined, s.StateCommit, s.State)
			}
			e.want("1", "1")
		})
	}
}
