// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/fluxcd/pkg/apis/meta"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
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
	other.Status.State += "# theirs\n"
	if err := e.Client.Status().Update(t.Context(), other); err != nil {
		t.Fatal(err)
	}
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

// editState changes the file of the state as a person does.
func (e *env) editState(edit func(string) string) {
	e.t.Helper()
	branch := stateBranch(e.pipeline)
	e.repo.Commit(branch, gitserver.Files{"state.yaml": edit(e.repo.File(branch, "state.yaml"))})
}

// A process kept what it had read of the state, and saw no edit until it wrote something.
// waitsForState checks that nothing is promoted until somebody says what the state is.
func (e *env) waitsForState() {
	e.t.Helper()
	e.want("1", "1")
	if gates := e.pipeline.Status.Stages[0].Waiting; len(gates) == 0 || gates[0].Type != sluicev1.GateState {
		e.t.Errorf("waits for %+v", gates)
	}
}

func TestWhatPeopleDoWithTheStateIsSeenAtTheNextLook(t *testing.T) {
	failed := func(t *testing.T) *env {
		t.Helper()
		e := newEnv(t)
		e.reconcile()
		e.release("2")
		e.reconcile()
		e.apply("staging", fails)
		e.reconcile()
		e.apply("staging")
		e.reconcile()
		e.want("1", "1")
		if len(e.pipeline.Status.Quarantined) != 1 {
			t.Fatalf("quarantined %+v", e.pipeline.Status.Quarantined)
		}
		return e
	}
	ends := func(e *env) {
		e.editState(func(text string) string {
			begin, rest, _ := strings.Cut(text, "quarantine:\n")
			return begin + rest[strings.Index(rest, "stages:"):]
		})
	}
	t.Run("an edit, after the interval", func(t *testing.T) {
		e := failed(t)
		ends(e)
		e.reconcile()
		if len(e.pipeline.Status.Quarantined) != 1 {
			t.Error("each run asks the server")
		}
		e.clock.Step(10 * time.Minute)
		e.reconcile()
		if got := e.pipeline.Status.Quarantined; len(got) > 0 {
			t.Errorf("quarantined %+v", got)
		}
	})
	t.Run("an edit, when somebody asks", func(t *testing.T) {
		e := failed(t)
		ends(e)
		e.pipeline.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "now"}
		e.reconcile()
		if got := e.pipeline.Status.Quarantined; len(got) > 0 {
			t.Errorf("quarantined %+v", got)
		}
	})
	t.Run("that it is deleted", func(t *testing.T) {
		e := failed(t)
		e.repo.Git("update-ref", "-d", "refs/heads/"+stateBranch(e.pipeline))
		e.clock.Step(10 * time.Minute)
		e.release("3")
		e.reconcile()
		e.waitsForState()
	})
	// The file alone was gone: it went on as if nothing had ever been in quarantine.
	t.Run("that its file is deleted, by another process, too", func(t *testing.T) {
		e := failed(t)
		e.repo.Commit(stateBranch(e.pipeline), gitserver.Files{"state.yaml": gitserver.Delete})
		e.clock.Step(10 * time.Minute)
		e.release("3")
		for _, process := range []*Reconciler{e.Reconciler, e.process(e.Client)} {
			e.Reconciler = process
			e.reconcile()
			e.waitsForState()
		}
	})
	// A repository that was restored from a backup forgot a quarantine.
	// A process whose mirror is new has never seen the commit that is gone.
	for name, restarted := range map[string]bool{"": false, ", while no process ran": true} {
		t.Run("that it is taken back to an older commit"+name, func(t *testing.T) {
			e := failed(t)
			e.repo.Git("update-ref", "refs/heads/"+stateBranch(e.pipeline), stateBranch(e.pipeline)+"~3")
			if restarted {
				e.Reconciler = e.process(e.Client)
			}
			e.clock.Step(10 * time.Minute)
			e.release("3")
			e.reconcile()
			e.waitsForState()
		})
	}
	t.Run("not if the server is away", func(t *testing.T) {
		e := failed(t)
		e.clock.Step(10 * time.Minute)
		defer e.server.Intercept(func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "away", http.StatusBadGateway) })
		})()
		e.reconcile()
		if len(e.pipeline.Status.Quarantined) != 1 {
			t.Errorf("quarantined %+v", e.pipeline.Status.Quarantined)
		}
	})
}

// Two clusters that shared a repository, each with a prefix for its pull requests, shared a state.
func TestTheStateIsOnABranchWithThePrefixOfPullRequests(t *testing.T) {
	e := newEnv(t)
	e.reconcile()
	e.release("2")
	e.reconcile()
	e.apply("staging", fails)
	e.reconcile()
	prefixed := func(p *sluicev1.Pipeline) {
		p.Spec.Stages[1].Write = sluicev1.Write{PullRequest: &sluicev1.PullRequest{BranchPrefix: "west/"}, Path: "production"}
	}
	for name, process := range map[string]*Reconciler{"the same process": e.Reconciler, "another process": e.process(e.Client)} {
		t.Run(name, func(t *testing.T) {
			if e.repo.Has("west/state/apps.shop") {
				e.repo.Git("update-ref", "-d", "refs/heads/west/state/apps.shop")
			}
			p := e.pipeline.DeepCopy()
			prefixed(p)
			repo, err := process.openRepository(t.Context(), p, sourceKeyOf(p, &p.Spec.Stages[0]))
			if err != nil {
				t.Fatal(err)
			}
			store := process.newRun(p, repo, nil).state
			if err := store.read(t.Context()); err != nil {
				t.Fatal(err)
			}
			if len(store.cache.state.Quarantine) != 1 || store.cache.lost {
				t.Errorf("the state was not taken over: %+v", store.cache)
			}
			if saved, err := store.save(t.Context(), promotion.Decision{State: store.cache.state}); err != nil || !saved {
				t.Errorf("saved %v: %v", saved, err)
			}
			if !e.repo.Has("west/state/apps.shop") {
				t.Error("it is not on the branch with the prefix")
			}
		})
	}
}

// The name of a pipeline may end like a file that Git locks by, or be longer than that of a file.
func TestTheBranchOfAStateIsOneThatServersTake(t *testing.T) {
	for _, name := range []string{"shop.lock", strings.Repeat("a", 240)} {
		e := newEnv(t, func(p *sluicev1.Pipeline) { p.Name = name })
		e.reconcile()
		if branch := stateBranch(e.pipeline); !e.repo.Has(branch) || !strings.HasPrefix(branch, "sluice/state/apps."+name[:4]) {
			t.Errorf("the state of %s is not on %s", name, branch)
		}
	}
}

// A server that is away when the state is read for the first time has a state all the same.
func TestAServerThatIsAwayIsNoLostState(t *testing.T) {
	e := newEnv(t)
	e.reconcile()
	e.release("2")
	e.reconcile()
	e.Reconciler = e.process(e.Client)
	mend := e.server.Intercept(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/git-upload-pack") {
				http.Error(w, "away", http.StatusBadGateway)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	if _, err := e.Reconcile(t.Context(), e.pipeline); err == nil || errors.Is(err, reconcile.TerminalError(nil)) {
		t.Fatalf("got %v", err)
	}
	mend()
	e.reconcile()
	for _, stage := range e.pipeline.Status.Stages {
		if slices.ContainsFunc(stage.Waiting, func(g sluicev1.Gate) bool { return g.Type == sluicev1.GateState }) {
			t.Errorf("%s waits for %+v", stage.Name, stage.Waiting)
		}
	}
}
