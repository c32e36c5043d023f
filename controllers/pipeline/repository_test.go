// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
)

// environments is an env whose production has a repository, on a server, of its own.
type environments struct {
	*env
	server *gitserver.Server
	own    *gitserver.Repo
}

// ofItsOwn gives production the GitRepository of this name.
func ofItsOwn(name string) func(*sluicev1.Pipeline) {
	return func(p *sluicev1.Pipeline) {
		p.Spec.Stages[1].Write.SourceRef = &imagev1.CrossNamespaceSourceReference{Kind: sourcev1.GitRepositoryKind, Name: name}
	}
}

func newEnvironments(t *testing.T, make func(*testing.T, ...func(*sluicev1.Pipeline)) *env) *environments {
	t.Helper()
	e := &environments{env: make(t, ofItsOwn("production")), server: gitserver.New(t)}
	e.own = e.server.Repo("production")
	e.own.Commit("main", gitserver.Files{"production/app.yaml": marked})
	object := &sourcev1.GitRepository{
		ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "production"},
		Spec:       sourcev1.GitRepositorySpec{URL: e.own.URL, Reference: &sourcev1.GitRepositoryRef{Branch: "main"}},
	}
	if err := e.Client.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	e.fetchOwn()
	e.applyOwn()
	return e
}

// fetchOwn has the GitRepository of production see the head of its main.
func (e *environments) fetchOwn() {
	e.t.Helper()
	var repo sourcev1.GitRepository
	e.get("production", &repo)
	repo.Status.Artifact = &meta.Artifact{Revision: "main@sha1:" + e.own.Head("main")}
	e.update(&repo)
}

// applyOwn has the Kustomization of production apply the head of its repository.
func (e *environments) applyOwn(changes ...func(*kustomizev1.Kustomization)) {
	e.t.Helper()
	e.apply("production", append([]func(*kustomizev1.Kustomization){func(k *kustomizev1.Kustomization) {
		k.Status.LastAppliedRevision = "main@sha1:" + e.own.Head("main")
		k.Status.LastAttemptedRevision = k.Status.LastAppliedRevision
	}}, changes...)...)
}

// wantOwn compares the version of each stage, and that production is not in the fleet.
func (e *environments) wantOwn(staging, production string) {
	e.t.Helper()
	image, _, _ := strings.Cut(e.own.Git("show", "main:production/app.yaml"), " #")
	e.want(staging, "1")
	if got := strings.TrimPrefix(image, "image: registry/app:"); got != production {
		e.t.Errorf("production has %s in its own repository, want %s: %+v", got, production, e.pipeline.Status.Stages[1])
	}
}

func TestAStageWithARepositoryOfItsOwn(t *testing.T) {
	e := newEnvironments(t, newEnv)
	e.reconcile()
	e.release("2")
	e.reconcile()
	e.wantOwn("2", "1")
	e.apply("staging")
	e.reconcile()
	e.wantOwn("2", "2")
	if !slices.Contains(*e.woken, types.NamespacedName{Namespace: "apps", Name: "production"}) {
		t.Errorf("woken were %v", *e.woken)
	}
	e.applyOwn(fails)
	e.fetchOwn()
	e.reconcile()
	e.wantOwn("2", "1")
	if q := e.pipeline.Status.Quarantined; len(q) != 1 || q[0].Stage != "production" {
		t.Errorf("quarantined %+v", q)
	}
	if !e.repo.Has("sluice/state/apps.shop") || e.own.Has("sluice/state/apps.shop") {
		t.Error("the state is not on a branch of the pipeline's repository alone")
	}
}

// A process that crashes after it noted what it is about to write, and before it pushed that
// to the other repository, writes it once when it is there again.
func TestACrashBetweenTheStateAndAPushToAnotherRepository(t *testing.T) {
	e := newEnvironments(t, newEnvInStatus)
	e.reconcile()
	e.release("2")
	e.reconcile()
	e.apply("staging")
	e.crash(isWriting)
	e.wantOwn("2", "1")
	e.restart()
	e.reconcile()
	e.wantOwn("2", "2")
	e.reconcile()
	if got := strings.Count(e.own.Git("log", "--format=%B", "main"), "Sluice-Stage: production"); got != 1 {
		t.Errorf("version 2 was written %d times", got)
	}
}

// The same with the state on its branch, which is in one repository, and the push that is lost
// one to another.
func TestACrashBetweenTheStateBranchAndAPushToAnotherRepository(t *testing.T) {
	e := newEnvironments(t, newEnv)
	e.reconcile()
	e.release("2")
	e.reconcile()
	e.apply("staging")
	ctx, crash := context.WithCancel(t.Context())
	undo := e.env.server.Intercept(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, r)
			if strings.HasSuffix(r.URL.Path, "/git-receive-pack") &&
				strings.Contains(e.repo.File("sluice/state/apps.shop", "state.yaml"), "writing:") {
				crash()
			}
		})
	})
	if _, err := e.Reconcile(ctx, e.pipeline); err == nil {
		t.Fatal("the process did not crash")
	}
	undo()
	e.wantOwn("2", "1")
	if state := e.repo.File("sluice/state/apps.shop", "state.yaml"); !strings.Contains(state, "writing:") {
		t.Fatalf("the state is %s", state)
	}
	e.Reconciler, e.pipeline = e.process(e.Client), shop(ofItsOwn("production"))
	e.reconcile()
	e.wantOwn("2", "2")
	if l := e.pipeline.Status.Stages[1].Landings; len(l) != 2 || l[0].Kind != sluicev1.LandingPromotion {
		t.Errorf("production had %+v", l)
	}
	e.reconcile()
	if got := strings.Count(e.own.Git("log", "--format=%B", "main"), "Sluice-Stage: production"); got != 1 {
		t.Errorf("version 2 was written %d times", got)
	}
}

func TestARepositoryThatCannotBeReachedHoldsNoOtherStage(t *testing.T) {
	for name, tc := range map[string]struct {
		breaks func(*environments) (mend func())
		want   string
	}{
		"its server is away": {func(e *environments) func() {
			return e.server.Intercept(func(http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "away", http.StatusServiceUnavailable) })
			})
		}, "branch main of GitRepository apps/production"},
		"it has no GitRepository": {func(e *environments) func() {
			ref := e.pipeline.Spec.Stages[1].Write.SourceRef
			ref.Name = "nowhere"
			return func() { ref.Name = "production" }
		}, "spec.stages[production].write.sourceRef: reading GitRepository apps/nowhere"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnvironments(t, newEnv)
			e.reconcile()
			e.Reconciler = e.process(e.Client) // it has no mirror
			mend := tc.breaks(e)
			e.release("2")
			for range 2 {
				if _, err := e.Reconcile(t.Context(), e.pipeline); err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Fatalf("got %v, want %q", err, tc.want)
				}
				e.fetch()
				e.apply("staging")
			}
			e.wantOwn("2", "1")
			stages := e.pipeline.Status.Stages
			if stages[0].Phase != sluicev1.StageVerified || len(stages[1].Waiting) != 1 || !strings.Contains(stages[1].Message, tc.want) {
				t.Errorf("the stages are %+v", stages)
			}
			if stages[1].Has == nil || stages[1].Has.Versions[0].Tag != "1" {
				t.Errorf("production was forgotten: %+v", stages[1])
			}
			mend()
			e.reconcile()
			e.wantOwn("2", "2")
		})
	}
}

func TestWhichPipelinesARepositoryWakes(t *testing.T) {
	p := shop(ofItsOwn("production"))
	for name, want := range map[string]bool{"fleet": true, "production": true, "other": false} {
		if got := slices.Contains(p.Sources(), types.NamespacedName{Namespace: "apps", Name: name}); got != want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// A commit wakes all pipelines on its repository: 500 of them read its Secret 500 times.
func TestPipelinesOnOneRepositoryReadItsSecretOnce(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(repo *sourcev1.GitRepository, p *sluicev1.Pipeline)
		after  time.Duration
		want   int
	}{
		"woken by the same commit": {want: 1},
		"by the next commit": {
			change: func(r *sourcev1.GitRepository, _ *sluicev1.Pipeline) { r.ResourceVersion = "2" }, want: 2,
		},
		"much later": {after: sharedFor + 1, want: 2},
		"one that a new Secret may mend": {
			change: func(_ *sourcev1.GitRepository, p *sluicev1.Pipeline) { p.Status.Conditions = nil }, want: 2,
		},
		"of a repository of the same length": {change: func(r *sourcev1.GitRepository, _ *sluicev1.Pipeline) { r.Name = "fleeT" }, want: 2},
	} {
		t.Run(name, func(t *testing.T) {
			var known remotes
			repo := &sourcev1.GitRepository{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "fleet", ResourceVersion: "1"}}
			p := &sluicev1.Pipeline{Status: sluicev1.PipelineStatus{Conditions: []metav1.Condition{
				{Type: meta.ReadyCondition, Status: metav1.ConditionTrue}}}}
			reads, now := 0, time.Unix(1_700_000_000, 0)
			read := func() {
				t.Helper()
				_, err := known.get(t.Context(), remoteKeyOf(repo), freshIfFailing(p, now), now,
					func(context.Context) (git.Remote, error) { reads++; return git.Remote{}, nil })
				must(t, err)
			}
			read()
			now = now.Add(max(tc.after, 1))
			if tc.change != nil {
				tc.change(repo, p)
			}
			read()
			if reads != tc.want {
				t.Errorf("%d reads, want %d", reads, tc.want)
			}
		})
	}
}
