// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

// missedRequest is a run in which no source can be asked: by a process that goes on, that ends after the
// run, or that ends when it asks.
type missedRequest struct{ ends, crashes bool }

var missedRequests = map[string]missedRequest{
	"the request failed": {}, "and the process ended": {ends: true}, "the process ended before it asked": {ends: true, crashes: true},
}

// run runs the pipeline, and what it pushed is not fetched.
func (m missedRequest) run(e *env) {
	e.t.Helper()
	ctx, end := context.WithCancel(e.t.Context())
	defer end()
	refuses := true
	e.broken(interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, patch client.Patch, opts ...client.PatchOption) error {
			if !refuses {
				return c.Patch(ctx, o, patch, opts...)
			}
			if m.crashes {
				end()
			}
			return errors.New("the API server is away")
		},
	})
	result, err := e.Reconcile(ctx, e.pipeline)
	failed := func(event reconciler.Event) bool { return event.Reason == sluicev1.SourceRequestFailedReason }
	switch said := slices.ContainsFunc(result.Events, failed); {
	case m.crashes && err == nil:
		e.t.Fatal("the process did not crash")
	case !m.crashes && (!said || result.After != unwatchedDelay):
		e.t.Errorf("events %+v; look again after %s, %v", result.Events, result.After, err)
	}
	if !m.ends {
		if result, _ = e.Reconcile(ctx, e.pipeline); slices.ContainsFunc(result.Events, failed) {
			e.t.Error("it is said again")
		}
	}
	refuses = false
	if before := e.Reconciler; m.ends {
		e.Reconciler = e.process(e.Client)
		e.ServesSources, e.Registry, e.Forges, e.cached = before.ServesSources, before.Registry, before.Forges, before.cached
	}
}

// askedOnce fails unless a source is asked by the next run, and not again by the one after it.
func (e *env) askedOnce(name string, source client.Object) {
	e.t.Helper()
	read := func() string {
		e.get(name, source)
		return source.GetAnnotations()[meta.ReconcileRequestAnnotation]
	}
	var asked []string
	for range 3 {
		asked = append(asked, read())
		_, _ = e.Reconcile(e.t.Context(), e.pipeline) // it may wait for objects
		e.clock.Step(1)
	}
	if asked[0] != "" || asked[1] == "" || asked[2] != asked[1] {
		e.t.Errorf("asked at %q", asked)
	}
}

// The release waited for the interval of the GitRepository. And a process that was started
// meanwhile took the commit that this had for one that took the bundle out again.
func TestASourceThatWasNotAskedIsAskedAtTheNextRun(t *testing.T) {
	for name, missed := range missedRequests {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t)
			e.ServesSources = false
			e.reconcile()
			e.release("2")
			missed.run(e)
			e.askedOnce("fleet", &sourcev1.GitRepository{})
			if got := e.pipeline.Status.Stages[0].Landings; len(got) != 2 || got[0].Bundle.Versions[0].Tag != "2" {
				t.Errorf("staging had %+v", got)
			}
			e.want("2", "1")
		})
	}
}

func TestAnOCIRepositoryThatWasNotAskedIsAskedAtTheNextRun(t *testing.T) {
	for name, missed := range missedRequests {
		t.Run(name, func(t *testing.T) {
			e := newTagEnv(t)
			e.cached[sourcev1.OCIRepositoryKind] = true
			follows := &sourcev1.OCIRepository{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "staging"}}
			follows.Spec.URL, follows.Spec.Reference = "oci://"+e.host+"/deploy/app", &sourcev1.OCIRepositoryRef{Tag: "staging"}
			e.create(follows)
			e.publish("1")
			missed.run(e.env)
			e.askedOnce("staging", follows)
		})
	}
}

// Only the GitRepository that the pipeline names was asked.
func TestTheSourceThatFollowsTheBranchWrittenToIsTheOneAsked(t *testing.T) {
	for name, served := range map[string]bool{"served by this process": true, "served by another one": false} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t, func(p *sluicev1.Pipeline) {
				p.Spec.Stages = p.Spec.Stages[:1]
				p.Spec.Stages[0].Write.Branch, p.Spec.Stages[0].Ready = "live", nil
			})
			e.ServesSources = served
			e.repo.Git("branch", "live", "main")
			for _, source := range []struct{ namespace, name string }{{"apps", "live"}, {"other", "live"}} {
				e.create(&sourcev1.GitRepository{
					ObjectMeta: metav1.ObjectMeta{Namespace: source.namespace, Name: source.name},
					Spec:       sourcev1.GitRepositorySpec{URL: e.repo.URL, Reference: &sourcev1.GitRepositoryRef{Branch: "live"}},
				})
			}
			e.reconcile()
			e.release("2")
			e.reconcile()
			asked := *e.woken
			var all sourcev1.GitRepositoryList
			must(t, e.Client.List(t.Context(), &all))
			for _, repo := range all.Items {
				if repo.Annotations[meta.ReconcileRequestAnnotation] != "" {
					asked = append(asked, client.ObjectKeyFromObject(&repo))
				}
			}
			if want := []types.NamespacedName{{Namespace: "apps", Name: "live"}}; !slices.Equal(asked, want) {
				t.Errorf("asked %v, want %v", asked, want)
			}
		})
	}
}

// Whoever merges wakes nobody but the one who looked while it was open.
func TestAMergeThatWasMissedWakesItsSource(t *testing.T) {
	away := func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "away", http.StatusBadGateway) })
	}
	for name, miss := range map[string]func(*gitHubEnv){
		"while the Git server was away": func(e *gitHubEnv) {
			mend := e.server.Intercept(away)
			e.clock.Step(e.pipeline.Spec.Interval.Duration)
			if _, err := e.Reconcile(t.Context(), e.pipeline); err == nil {
				e.t.Error("it was not away")
			}
			mend()
		},
		"while no process ran": func(e *gitHubEnv) {
			forges := e.Forges
			e.Reconciler = e.process(e.Client)
			e.Forges = forges
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := newGitHubEnv(t, opts(byPerson))
			e.verify("2")
			e.at(func(g *gitHub) { g.land(g.pulls[0], "alice") })
			miss(e)
			if !e.wakes(func() { _, _ = e.Reconcile(t.Context(), e.pipeline) }) {
				t.Error("it was not woken")
			}
			if e.wakes(e.reconcile) {
				t.Error("it was woken again")
			}
			e.want("2", "2")
		})
	}
}
