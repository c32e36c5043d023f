// SPDX-License-Identifier: Apache-2.0

package decide

import (
	"errors"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-cd/sluice/apply/inventory"
)

var (
	now     = time.Unix(1_700_000_000, 0)
	attempt = Attempt{Revision: "main@sha1:1", Digest: "sha256:1", Generation: 1}
)

func entry(name string) inventory.Entry {
	return inventory.Entry{ID: inventory.ID{Namespace: "ns", Name: name, Kind: "ConfigMap"}, Version: "v1"}
}

// observed is what is seen of an owner with nothing to do.
func observed(change func(*Observation)) Observation {
	o := Observation{
		Attempt: attempt, Ready: true, Inventory: []inventory.Entry{entry("a")}, AppliedRevision: attempt.Revision,
		Spec: Spec{Interval: time.Hour, NextRun: time.Hour, Timeout: time.Minute, Prune: true},
	}
	if change != nil {
		change(&o)
	}
	return o
}

// state is that after a complete apply a minute ago.
func state(change func(*State)) State {
	s := State{
		Attempt: attempt, Started: now.Add(-time.Minute), HealthSince: now.Add(-time.Minute), Due: now.Add(time.Hour),
		Built:   &Built{Generation: 1, Artifact: attempt.Digest, Variables: "vars", Objects: "objects"},
		Applied: true, Inventory: []inventory.Entry{entry("a")},
	}
	if change != nil {
		change(&s)
	}
	return s
}

func TestWhatIsDoneNext(t *testing.T) {
	due := state(func(s *State) { s.Due = now })
	variables := func(digest string) *string { return &digest }
	tests := map[string]struct {
		seen func(*Observation)
		prev State
		want ReconcileAction
	}{
		"nothing was applied yet":      {prev: state(func(s *State) { s.Built = nil }), want: Apply},
		"nothing changed":              {prev: state(nil), want: CheckHealth},
		"the spec changed":             {prev: state(func(s *State) { s.Built.Generation = 0 }), want: Apply},
		"a file changed that was read": {seen: func(o *Observation) { o.FilesChanged = true }, prev: state(nil), want: Apply},
		"an object drifted": {
			seen: func(o *Observation) { o.Drift.Worst = Drifted },
			prev: state(nil),
			want: Apply,
		},
		"an object cannot be watched": {
			seen: func(o *Observation) { o.Drift.Worst = UnknownDrift },
			prev: state(nil),
			want: CheckHealth,
		},
		"nor when the interval is over":           {seen: func(o *Observation) { o.Drift.Worst = UnknownDrift }, prev: due, want: Apply},
		"the interval is over and all is watched": {prev: due, want: CheckHealth},
		"a remote base may have moved, and the interval": {
			seen: func(o *Observation) { o.Moves = true },
			prev: due,
			want: Apply,
		},
		"a remote base may have moved": {seen: func(o *Observation) { o.Moves = true }, prev: state(nil), want: CheckHealth},
		"what variables come from changed": {
			seen: func(o *Observation) { o.ReadsVariables, o.VariablesChanged = true, true },
			prev: state(nil),
			want: ReadVariables,
		},
		"variables come from objects, and a new commit": {
			seen: func(o *Observation) { o.ReadsVariables = true },
			prev: state(func(s *State) { s.Built.Artifact = "sha256:0" }),
			want: ReadVariables,
		},
		"variables come from objects, and the interval": {seen: func(o *Observation) { o.ReadsVariables = true }, prev: due, want: ReadVariables},
		"variables come from objects, as they were": {
			seen: func(o *Observation) { o.ReadsVariables = true },
			prev: state(nil),
			want: CheckHealth,
		},
		"variables have other values": {
			seen: func(o *Observation) { o.ReadsVariables, o.Variables = true, variables("new") },
			prev: due,
			want: Apply,
		},
		"variables have the same values": {
			seen: func(o *Observation) { o.ReadsVariables, o.Variables = true, variables("vars") },
			prev: due,
			want: CheckHealth,
		},
		"a request for a reconcile": {
			seen: func(o *Observation) { o.Requested = "now" },
			prev: state(nil),
			want: EndPauses,
		},
		"another generation": {seen: func(o *Observation) { o.Generation = 2 }, prev: state(nil), want: EndPauses},
		"another revision": {
			seen: func(o *Observation) { o.Revision = "main@sha1:2" },
			prev: state(nil),
			want: CheckHealth,
		},
		"stale objects after an apply": {
			seen: func(o *Observation) { o.Applied = &ApplyResult{Entries: []inventory.Entry{entry("b")}} },
			prev: state(nil),
			want: Prune,
		},
		"stale objects that are not to be pruned": {
			seen: func(o *Observation) {
				o.Prune = false
				o.Applied = &ApplyResult{Entries: []inventory.Entry{entry("b")}}
			},
			prev: state(nil),
			want: CheckHealth,
		},
		"no stale objects after an apply": {
			seen: func(o *Observation) { o.Applied = &ApplyResult{Entries: []inventory.Entry{entry("a")}} },
			prev: state(nil),
			want: CheckHealth,
		},
		"a failed apply prunes nothing": {seen: func(o *Observation) {
			o.Applied, o.Failure = &ApplyResult{Entries: []inventory.Entry{entry("b")}}, &Failure{Err: errors.New("broken")}
		}, prev: state(nil), want: Report},
		"definitions that are awaited prune nothing": {seen: func(o *Observation) {
			o.Applied = &ApplyResult{Entries: []inventory.Entry{entry("b")}, Waiting: Health{Pending: []string{"crd"}}}
		}, prev: state(func(s *State) { s.HealthSince = now }), want: Report},
		"a build in the background": {
			seen: func(o *Observation) { o.Building = true },
			prev: state(func(s *State) { s.Built = nil }),
			want: Report,
		},
		"a dependency that is not ready": {
			seen: func(o *Observation) { o.Dependencies = []Dependency{{Name: "ns/b", State: DependencyNotReady}} },
			prev: state(nil),
			want: Report,
		},
		"a dependency at another revision": {seen: func(o *Observation) {
			o.FilesChanged = true
			o.Dependencies = []Dependency{{Name: "ns/b", State: DependencyOutdated}}
		}, prev: state(nil), want: Report},
		"a dependency at another revision, and nothing to apply": {
			seen: func(o *Observation) { o.Dependencies = []Dependency{{Name: "ns/b", State: DependencyOutdated}} },
			prev: state(nil),
			want: CheckHealth,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			o := observed(tc.seen)
			before := *tc.prev.clone()
			if got := Decide(o, tc.prev, now); got.Action != tc.want {
				t.Errorf("action %d, want %d; %+v", got.Action, tc.want, got.Report)
			}
			if diff := cmp.Diff(before, tc.prev); diff != "" {
				t.Errorf("the memory was changed (-before +after):\n%s", diff)
			}
		})
	}
}

// clone copies a memory, and all that it points to.
func (s State) clone() *State {
	if s.Built != nil {
		built := *s.Built
		s.Built = &built
	}
	s.Inventory = append([]inventory.Entry{}, s.Inventory...)
	return &s
}

func TestTheInventoryLosesNothing(t *testing.T) {
	tests := map[string]struct {
		seen func(*Observation)
		prev State
		want []string
	}{
		"of the status, before anything is remembered": {
			seen: func(o *Observation) { o.Failure = &Failure{Err: errors.New("broken")} }, want: []string{"a", "b"},
		},
		"that is remembered, whatever the status says": {
			seen: func(o *Observation) { o.Failure = &Failure{Err: errors.New("broken")} },
			prev: state(func(s *State) { s.Inventory = []inventory.Entry{entry("c")} }), want: []string{"c", "b"},
		},
		"while definitions are awaited": {
			seen: func(o *Observation) { o.Applied.Waiting.Pending = []string{"crd"} }, prev: state(nil), want: []string{"a", "b"},
		},
		"before stale objects are pruned": {prev: state(nil), want: []string{"a", "b"}},
		"that could not be pruned": {seen: func(o *Observation) {
			o.Pruned, o.Kept, o.Failure = true, []inventory.Entry{entry("a")}, &Failure{Err: errors.New("no")}
		}, prev: state(nil), want: []string{"b", "a"}},
		"but what was pruned":          {seen: func(o *Observation) { o.Pruned = true }, prev: state(nil), want: []string{"b"}},
		"but what is not to be pruned": {seen: func(o *Observation) { o.Prune = false }, prev: state(nil), want: []string{"b"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			o := observed(func(o *Observation) { o.Applied = &ApplyResult{Entries: []inventory.Entry{entry("b")}} })
			if tc.seen != nil {
				tc.seen(&o)
			}
			tc.prev.Attempt = attempt
			var got []string
			for _, e := range Decide(o, tc.prev, now).State.Inventory {
				got = append(got, e.Name)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("inventory (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatIsReported(t *testing.T) {
	pending, failing := &Health{Pending: []string{"x"}}, &Health{Failed: []string{"x"}}
	checked := func(h *Health) func(*Observation) {
		return func(o *Observation) { o.HealthCheck, o.Health = CheckApplied, h }
	}
	late := now.Add(-time.Minute)
	tests := map[string]struct {
		seen func(*Observation)
		prev State

		want        string // the error, or the message
		wantRetry   Retry
		wantHealthy metav1.ConditionStatus
		wantAfter   time.Duration
		wantHistory string
		wantEvents  int
	}{
		"ready as before is no news": {
			seen: func(o *Observation) { o.Health = &Health{} }, prev: state(nil),
			want: "Applied revision: main@sha1:1", wantAfter: time.Hour,
		},
		"ready after a change is": {
			seen: func(o *Observation) { o.Health, o.HasEvents = &Health{}, true }, prev: state(nil),
			want: "Applied revision: main@sha1:1", wantAfter: time.Hour, wantHistory: meta.ReconciliationSucceededReason, wantEvents: 1,
		},
		"ready for the first time is": {
			seen: func(o *Observation) { o.Health, o.Ready = &Health{}, false }, prev: state(nil),
			want: "Applied revision: main@sha1:1", wantAfter: time.Hour, wantHistory: meta.ReconciliationSucceededReason, wantEvents: 1,
		},
		"objects that a killed process applied are news": {
			seen: func(o *Observation) {
				o.Health, o.AppliedRevision, o.AppliedObjects = &Health{}, "main@sha1:0", "sha256:before"
			},
			prev: state(nil), want: "Applied revision: main@sha1:1", wantAfter: time.Hour,
			wantHistory: meta.ReconciliationSucceededReason, wantEvents: 1,
		},
		"a revision with the objects of the one before is no news, but for its commit": {
			seen: func(o *Observation) {
				o.Health, o.AppliedRevision, o.AppliedObjects = &Health{}, "main@sha1:0", state(nil).Built.Objects
			},
			prev: state(nil), want: "Applied revision: main@sha1:1", wantAfter: time.Hour, wantEvents: 1,
		},
		"the revision that the status has is no news, whatever digest somebody else made of it": {
			seen: func(o *Observation) {
				o.Health, o.AppliedRevision, o.AppliedObjects = &Health{}, o.Revision, "sha256:others"
			},
			prev: state(nil), want: "Applied revision: main@sha1:1", wantAfter: time.Hour,
		},
		"a status without a history says nothing of objects": {
			seen: func(o *Observation) { o.Health, o.AppliedRevision = &Health{}, "main@sha1:0" },
			prev: state(nil), want: "Applied revision: main@sha1:1", wantAfter: time.Hour, wantEvents: 1,
		},
		"the end of a pause comes before the interval": {
			seen: func(o *Observation) { o.Health = &Health{}; o.Drift.Resume = now.Add(time.Minute) }, prev: state(nil),
			want: "Applied revision: main@sha1:1", wantAfter: time.Minute,
		},
		"healthy for the first time": {
			seen: checked(&Health{}), prev: state(nil), want: "Applied revision: main@sha1:1",
			wantHealthy: metav1.ConditionTrue, wantAfter: time.Hour, wantHistory: meta.ReconciliationSucceededReason, wantEvents: 2,
		},
		"healthy as before": {
			seen: func(o *Observation) { checked(&Health{})(o); o.Healthy = true }, prev: state(nil),
			want: "Applied revision: main@sha1:1", wantAfter: time.Hour,
		},
		"objects that are awaited": {
			seen: checked(pending), prev: state(func(s *State) { s.HealthSince = now.Add(-20 * time.Second) }),
			want:        "Running health checks for revision main@sha1:1 with a timeout of 1m0s",
			wantHealthy: metav1.ConditionUnknown, wantAfter: 40 * time.Second,
		},
		"objects that nobody may watch": {
			seen: checked(&Health{Pending: []string{"x"}, Unwatched: true}), prev: state(func(s *State) { s.HealthSince = now }),
			want:        "Running health checks for revision main@sha1:1 with a timeout of 1m0s",
			wantHealthy: metav1.ConditionUnknown, wantAfter: UnwatchedInterval,
		},
		"a kind that is not served": {
			seen: checked(&Health{Pending: []string{"x"}, Unserved: []string{"no kind x"}}), prev: state(func(s *State) { s.HealthSince = now }),
			want:        "Running health checks for revision main@sha1:1 with a timeout of 1m0s; no kind x",
			wantHealthy: metav1.ConditionUnknown, wantAfter: time.Minute,
		},
		"an object that failed": {
			seen: checked(failing), prev: state(nil), want: "health check failed after 1m0s: failed early due to stalled resources: [x]",
			wantRetry: RetryWhenWatched, wantHealthy: metav1.ConditionFalse, wantHistory: meta.HealthCheckFailedReason,
		},
		"objects that were awaited for too long": {
			seen: checked(pending), prev: state(func(s *State) {
				s.HealthSince = late
			}), want: "health check failed after 1m0s: timeout waiting for: [x]",
			wantRetry: RetryWhenWatched, wantHealthy: metav1.ConditionFalse, wantHistory: meta.HealthCheckFailedReason,
		},
		"a failed check stands, and is noted once": {
			seen: checked(pending), prev: state(func(s *State) { s.HealthSince, s.Failed = now, "health check failed after 1s" }),
			want: "health check failed after 1s: timeout waiting for: [x]", wantRetry: RetryWhenWatched, wantHealthy: metav1.ConditionFalse,
		},
		"definitions that are awaited": {
			seen: func(o *Observation) { o.Applied = &ApplyResult{Waiting: *pending} }, prev: state(func(s *State) { s.HealthSince = now }),
			want: "Waiting for definitions to be established: [x]", wantAfter: time.Minute,
		},
		"definitions that failed": {
			seen: func(o *Observation) { o.Applied = &ApplyResult{Waiting: *failing} }, prev: state(nil),
			want: "failed early due to stalled resources: [x]", wantRetry: RetrySoon,
		},
		"definitions that were awaited for too long": {
			seen: func(o *Observation) { o.Applied = &ApplyResult{Waiting: *pending} }, prev: state(func(s *State) { s.HealthSince = late }),
			want: "timeout waiting for: [x]", wantRetry: RetrySoon,
		},
		"a build in the background": {
			seen: func(o *Observation) { o.Building = true }, prev: state(func(s *State) { s.Built = nil }),
			want: "Building main@sha1:1", wantAfter: buildLook,
		},
		"a dependency that is missing": {
			seen: func(o *Observation) {
				o.Dependencies = []Dependency{{Name: "ns/ok", State: DependencyReady}, {Name: "ns/b", State: DependencyMissing}}
			}, prev: state(nil),
			want: "dependency 'ns/b' not found: create it, or correct spec.dependsOn", wantRetry: RetryPending,
		},
		"a dependency that is not ready": {
			seen: func(o *Observation) { o.Dependencies = []Dependency{{Name: "ns/b", State: DependencyNotReady}} }, prev: state(nil),
			want: "dependency 'ns/b' is not ready: mend what its condition Ready says, or correct spec.dependsOn", wantRetry: RetryPending,
		},
		"a dependency that an expression is false of": {
			seen: func(o *Observation) {
				o.Dependencies = []Dependency{{Name: "ns/b", State: DependencyNotReady, Why: "is not ready according to readyExpr eval"}}
			}, prev: state(nil),
			want: "dependency 'ns/b' is not ready according to readyExpr eval", wantRetry: RetryPending,
		},
		"a dependency at another revision, and something to apply": {
			seen: func(o *Observation) {
				o.FilesChanged, o.Dependencies = true, []Dependency{{Name: "ns/b", State: DependencyOutdated}}
			}, prev: state(nil),
			want: "dependency 'ns/b' revision is not up to date: it has yet to apply what their source has now", wantRetry: RetryPending,
		},
		"dependencies in a circle": {
			seen: func(o *Observation) {
				o.Dependencies, o.Cycle = []Dependency{{Name: "ns/b", State: DependencyReady}}, []string{"ns/a", "ns/b", "ns/a"}
			},
			prev: state(nil), want: "circular dependency: ns/a -> ns/b -> ns/a: take one of them out of spec.dependsOn of the other",
			wantRetry: RetryWhenWatched,
		},
		"a dependency on itself": {
			seen: func(o *Observation) {
				o.Dependencies, o.Cycle = []Dependency{{Name: "ns/a", State: DependencyNotReady}}, []string{"ns/a", "ns/a"}
			},
			prev: state(nil), want: "circular dependency: ns/a -> ns/a: take one of them out of spec.dependsOn of the other", wantRetry: RetryNever,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			d := Decide(observed(tc.seen), tc.prev, now)
			if d.Action != Report {
				t.Fatalf("action %d", d.Action)
			}
			r := d.Report
			if r.Failure != nil {
				if r.Failure.Err.Error() != tc.want || r.Failure.Retry != tc.wantRetry {
					t.Errorf("failure %+v, want %s", r.Failure, tc.want)
				}
			} else if r.Message != tc.want || r.After != tc.wantAfter {
				t.Errorf("message %q after %s, want %q after %s", r.Message, r.After, tc.want, tc.wantAfter)
			}
			healthy := metav1.ConditionStatus("")
			if r.Healthy != nil {
				healthy = r.Healthy.Status
			}
			if healthy != tc.wantHealthy || r.History != tc.wantHistory || len(r.Events) != tc.wantEvents {
				t.Errorf("Healthy %q, history %q, events %v", healthy, r.History, r.Events)
			}
		})
	}
}

func TestTime(t *testing.T) {
	t.Run("a new attempt has its own", func(t *testing.T) {
		s := state(func(s *State) { s.Failed = "health check failed" })
		d := Decide(observed(func(o *Observation) { o.Revision = "main@sha1:2" }), s, now)
		if got := d.State; !got.Started.Equal(now) || !got.HealthSince.Equal(now) || got.Failed != "" || got.Due.Equal(now) {
			t.Errorf("memory %+v", got)
		}
	})
	t.Run("a request makes the interval due", func(t *testing.T) {
		d := Decide(observed(func(o *Observation) { o.Requested = "now" }), state(nil), now)
		if !d.State.Due.Equal(now) {
			t.Errorf("due %s", d.State.Due)
		}
	})
	t.Run("a repair has its own", func(t *testing.T) {
		d := Decide(observed(func(o *Observation) { o.Drift.Worst = Drifted }), state(nil), now)
		if !d.State.HealthSince.Equal(now) || d.State.Built != nil {
			t.Errorf("memory %+v", d.State)
		}
	})
	t.Run("an apply that goes on has the one it began with", func(t *testing.T) {
		s := state(func(s *State) { s.Built = nil })
		if d := Decide(observed(nil), s, now); !d.State.HealthSince.Equal(s.HealthSince) {
			t.Errorf("memory %+v", d.State)
		}
	})
	t.Run("a new process goes on with the old one's wait", func(t *testing.T) {
		since := now.Add(-40 * time.Second)
		d := Decide(observed(func(o *Observation) { o.HealthAwaitedSince = since }), State{}, now)
		if !d.State.HealthSince.Equal(since) || !d.State.Started.Equal(now) {
			t.Errorf("memory %+v", d.State)
		}
	})
	t.Run("the interval begins anew when it is over", func(t *testing.T) {
		d := Decide(observed(func(o *Observation) { o.Health = &Health{} }), state(func(s *State) { s.Due = now }), now)
		if !d.State.Due.Equal(now.Add(time.Hour)) {
			t.Errorf("due %s", d.State.Due)
		}
	})
	t.Run("nothing to apply is noted for the artifact", func(t *testing.T) {
		d := Decide(observed(nil), state(func(s *State) { s.Built.Artifact = "sha256:0" }), now)
		if d.State.Built.Artifact != attempt.Digest {
			t.Errorf("built %+v", d.State.Built)
		}
	})
}

func TestWhatTheNextDecisionKnows(t *testing.T) {
	built := Built{Generation: 1, Artifact: attempt.Digest, Variables: "new", Objects: "new"}
	tests := map[string]struct {
		seen func(*Observation)
		prev State
		want func(*State)
	}{
		"which attempt was begun": {
			seen: func(o *Observation) { o.Requested = "now" },
			prev: State{},
			want: func(s *State) {
				s.Attempt.Requested, s.Built, s.Applied, s.Inventory = "now", nil, false, nil
				s.Started, s.HealthSince, s.Due = now, now, now
			},
		},
		"what was applied, and the inventory": {
			seen: func(o *Observation) {
				o.Applied = &ApplyResult{Entries: []inventory.Entry{entry("b")}, Built: built}
				o.Prune = false
			},
			prev: state(func(s *State) { s.Built, s.Applied, s.Inventory = nil, false, nil }),
			want: func(s *State) { s.Built, s.Inventory = &built, []inventory.Entry{entry("b")} },
		},
		"that an apply which waits for definitions is not complete": {
			seen: func(o *Observation) {
				o.Applied = &ApplyResult{Entries: []inventory.Entry{entry("a")}, Waiting: Health{Pending: []string{"crd"}}, Built: built}
			},
			prev: state(func(s *State) { s.Built, s.Applied, s.Inventory, s.HealthSince = nil, false, nil, now }),
			want: func(s *State) { s.Built, s.HealthSince = nil, now },
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(state(tc.want), Decide(observed(tc.seen), tc.prev, now).State); diff != "" {
				t.Errorf("state (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHealthOf(t *testing.T) {
	seen := func(s status.Status) *LiveObject {
		return &LiveObject{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "7"}, Status: s}
	}
	id := inventory.ID{Namespace: "ns", Name: "x", Kind: "Job"}
	tests := map[string]struct {
		checked     HealthObservation
		want        Health
		wantAwaited []Awaited
	}{
		"a healthy object": {checked: HealthObservation{Seen: seen(status.CurrentStatus), Watched: true}},
		"one that is missing": {
			checked:     HealthObservation{Watched: true},
			want:        Health{Pending: []string{"Job/ns/x status: 'NotFound'"}},
			wantAwaited: []Awaited{{ID: id}},
		},
		"one that was cleaned up": {checked: HealthObservation{Watched: true, Expires: true}},
		"one that failed": {
			checked:     HealthObservation{Seen: seen(status.FailedStatus), Watched: true},
			want:        Health{Failed: []string{"Job/ns/x status: 'Failed'"}},
			wantAwaited: []Awaited{{ID: id, ResourceVersion: "7", Failed: true}},
		},
		"one that is in progress": {
			checked:     HealthObservation{Seen: seen(status.InProgressStatus), Watched: true},
			want:        Health{Pending: []string{"Job/ns/x status: 'InProgress'"}},
			wantAwaited: []Awaited{{ID: id, ResourceVersion: "7"}},
		},
		"one that nobody may watch": {checked: HealthObservation{Seen: seen(status.CurrentStatus)}, want: Health{Unwatched: true}},
		"a kind that is not served": {
			checked:     HealthObservation{Seen: &LiveObject{Status: status.NotFoundStatus, Message: "no kind"}, Watched: true},
			want:        Health{Pending: []string{"Job/ns/x status: 'NotFound': no kind"}, Unserved: []string{"Job/ns/x: no kind"}},
			wantAwaited: []Awaited{{ID: id}},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tc.checked.ID = id
			health, awaited := HealthOf([]HealthObservation{tc.checked})
			if diff := cmp.Diff(tc.want, health); diff != "" {
				t.Errorf("health (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.wantAwaited, awaited); diff != "" {
				t.Errorf("awaited (-want +got):\n%s", diff)
			}
		})
	}
}

func TestStepFor(t *testing.T) {
	live := &LiveObject{}
	excluded := &LiveObject{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{kustomizations.ReconcileKey: "disabled"}}}
	tests := map[string]struct {
		candidate Candidate
		want      ObjectDecision
	}{
		"an object that may be new":               {Candidate{}, Create},
		"an object that is known to be missing":   {Candidate{Known: true}, Update},
		"an object that is there":                 {Candidate{Known: true, Live: live}, Update},
		"an object as it was left":                {Candidate{Known: true, Live: live, AsLeft: true}, Keep},
		"a source that asks not to apply":         {Candidate{Treatment: Treatment{Excluded: true}, AsLeft: true}, Skip},
		"a live object that asks to be left":      {Candidate{Known: true, Live: excluded, AsLeft: true}, Skip},
		"an object that need only be there":       {Candidate{Treatment: Treatment{IfNotPresent: true}, Known: true, Live: live}, Skip},
		"an object that need be there and is not": {Candidate{Treatment: Treatment{IfNotPresent: true}, Known: true}, Update},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := kustomizations.DecideObject(tc.candidate); got != tc.want {
				t.Errorf("step %d, want %d", got, tc.want)
			}
		})
	}
}
