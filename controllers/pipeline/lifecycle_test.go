// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
)

// broken has a client refuse what the functions refuse; mend ends that.
func (e *env) broken(funcs interceptor.Funcs) (mend func()) {
	e.t.Helper()
	inner, ok := e.Client.(client.WithWatch)
	if !ok {
		e.t.Fatal("the fake client does not watch")
	}
	use := func(c client.Client) { e.Client, e.Live, e.Access.Client = c, c, c }
	use(interceptor.NewClient(inner, funcs))
	return func() { use(inner) }
}

// crash reconciles until the status is written and fits, where the process ends; what is
// there then is what the next one finds.
func (e *env) crash(fits func(sluicev1.PipelineStatus) bool) {
	e.t.Helper()
	ctx, end := context.WithCancel(e.t.Context())
	defer end()
	mend := e.broken(interceptor.Funcs{
		SubResourcePatch: func(
			ctx context.Context, c client.Client, sub string, obj client.Object, patch client.Patch, opts ...client.SubResourcePatchOption,
		) error {
			err := c.SubResource(sub).Patch(ctx, obj, patch, opts...)
			var p sluicev1.Pipeline
			if c.Get(ctx, client.ObjectKeyFromObject(obj), &p) == nil && fits(p.Status) {
				end()
			}
			return err
		},
	})
	if _, err := e.Reconcile(ctx, e.pipeline); err == nil {
		e.t.Fatal("the process did not crash")
	}
	mend()
}

// isWriting reports whether a status says that a version is about to be written.
func isWriting(s sluicev1.PipelineStatus) bool { return strings.Contains(s.State, "writing:") }

// refusing refuses to read objects of a type.
func refusing[T client.Object](err error) interceptor.Funcs {
	return interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
			if _, is := obj.(T); is {
				return err
			}
			return c.Get(ctx, key, obj, opts...)
		},
	}
}

// refusingLists refuses to list objects of a type.
func refusingLists[T client.ObjectList](err error) interceptor.Funcs {
	return interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			if _, is := list.(T); is {
				return err
			}
			return c.List(ctx, list, opts...)
		},
	}
}

// What the API server refuses for a while is an error that is retried, changes nothing and
// is forgotten.
func TestAnAPIServerThatIsAwayChangesNothing(t *testing.T) {
	away := errors.New("the API server is away")
	for name, tc := range map[string]struct {
		funcs  interceptor.Funcs
		change func(*sluicev1.Pipeline)
		want   string
	}{
		"an ImagePolicy cannot be read": {
			funcs: refusing[*imagev1.ImagePolicy](away),
			want:  "artifact app: reading ImagePolicy apps/app: the API server is away",
		},
		"a GitRepository cannot be read": {funcs: refusing[*sourcev1.GitRepository](away), want: "reading GitRepository apps/fleet"},
		"Pipelines cannot be listed":     {funcs: refusingLists[*sluicev1.PipelineList](away), want: "listing pipelines: the API server is away"},
		"Freezes cannot be listed":       {funcs: refusingLists[*sluicev1.FreezeList](away), want: "listing freezes: the API server is away"},
		"the state cannot be read from the status": {
			funcs: refusing[*sluicev1.Pipeline](away), change: inStatus, want: "reading the state: the API server is away",
		},
		"the state cannot be written to the status": {funcs: interceptor.Funcs{
			SubResourcePatch: func(context.Context, client.Client, string, client.Object, client.Patch, ...client.SubResourcePatchOption) error {
				return away
			},
		}, change: inStatus, want: "writing the state to the status: the API server is away"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t)
			if tc.change != nil {
				e = newEnvInStatus(t, tc.change)
			}
			e.reconcile()
			e.release("2")
			e.Reconciler = e.process(e.Client) // which remembers nothing
			mend := e.broken(tc.funcs)
			for range 3 {
				_, err := e.Reconcile(t.Context(), e.pipeline)
				if err == nil || errors.Is(err, reconcile.TerminalError(nil)) || !strings.Contains(err.Error(), tc.want) {
					t.Fatalf("got %v, want %q", err, tc.want)
				}
			}
			e.want("1", "1")
			mend()
			e.reconcile()
			e.want("2", "1")
		})
	}
}

func TestAJobThatCannotBeMadeHoldsItsStage(t *testing.T) {
	away := errors.New("quota exceeded")
	e := newEnv(t)
	e.reconcile()
	verifiedBy(t, smoke)(e.pipeline)
	e.release("2")
	e.reconcile()
	e.apply("staging")
	mend := e.broken(interceptor.Funcs{
		Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error { return away },
	})
	if _, err := e.Reconcile(t.Context(), e.pipeline); !errors.Is(err, away) || !strings.Contains(err.Error(), "of stage staging") {
		t.Fatalf("got %v", err)
	}
	mend()
	e.reconcile()
	if jobs := e.jobs(); len(jobs) != 1 {
		t.Errorf("there are %d Jobs", len(jobs))
	}
}

// pushes answers pushes with a status.
func (e *env) pushes(code int) (mend func()) {
	return e.server.Intercept(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/git-receive-pack") || r.FormValue("service") == "git-receive-pack" {
				http.Error(w, "no", code)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
}

func TestAGitServerThatIsAway(t *testing.T) {
	e := newEnv(t)
	e.reconcile()
	e.release("2")
	mend := e.server.Intercept(func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "away", http.StatusBadGateway) })
	})
	for range 3 {
		if _, err := e.Reconcile(t.Context(), e.pipeline); err == nil || errors.Is(err, reconcile.TerminalError(nil)) ||
			!strings.Contains(err.Error(), "502") {
			t.Fatalf("got %v", err)
		}
	}
	mend()
	e.reconcile()
	e.want("2", "1")
}

// The state is kept first: what cannot be kept is not done.
func TestNothingIsWrittenThatCannotBeKept(t *testing.T) {
	e := newEnv(t)
	e.reconcile()
	e.release("2")
	before := e.repo.Head("main")
	mend := e.pushes(http.StatusForbidden)
	if _, err := e.Reconcile(t.Context(), e.pipeline); err == nil ||
		!strings.Contains(err.Error(), "writing the state to branch sluice/state/apps.shop") {
		t.Fatalf("got %v", err)
	}
	if e.repo.Head("main") != before {
		t.Error("something was written")
	}
	mend()
	e.reconcile()
	e.want("2", "1")
}

// A branch that is protected holds its own stage.
func TestABranchThatRefusesPushesHoldsItsStage(t *testing.T) {
	e := newEnvInStatus(t)
	e.reconcile()
	e.release("2")
	mend := e.pushes(http.StatusForbidden)
	_, err := e.Reconcile(t.Context(), e.pipeline)
	if err == nil || !strings.Contains(err.Error(), "writing app 2 to stage staging: ") {
		t.Fatalf("got %v", err)
	}
	if got := e.pipeline.Status.Stages[0].Message; !strings.Contains(got, "writing app 2 to stage staging: ") {
		t.Errorf("staging says %q", got)
	}
	mend()
	e.reconcile()
	e.want("2", "1")
}

func TestAStateThatNobodyCanRead(t *testing.T) {
	e := newEnv(t)
	e.reconcile()
	e.repo.Commit("sluice/state/apps.shop", gitserver.Files{"state.yaml": "version: [\n"})
	e.Reconciler = e.process(e.Client)
	e.release("2")
	_, err := e.Reconcile(t.Context(), e.pipeline)
	if err == nil || !strings.Contains(err.Error(), "branch sluice/state/apps.shop: ") {
		t.Fatalf("got %v", err)
	}
	e.want("1", "1")
}

// Two controllers decide at the same time: the one who was slower reads what the other did.
func TestAStateThatSomebodyElseWroteIsReadAgain(t *testing.T) {
	e := newEnv(t)
	e.reconcile()
	state := e.repo.File("sluice/state/apps.shop", "state.yaml")
	e.repo.Commit("sluice/state/apps.shop", gitserver.Files{"state.yaml": state + "# theirs\n"})
	e.release("2")
	if _, err := e.Reconcile(t.Context(), e.pipeline); err == nil || !strings.Contains(err.Error(), "sluice/state/apps.shop") {
		t.Fatalf("got %v", err)
	}
	e.want("1", "1")
	e.reconcile()
	e.want("2", "1")
}

func TestAFreezeHoldsThePipelinesThatItSelects(t *testing.T) {
	always := []sluicev1.Window{{
		Name: "always", Kind: sluicev1.WindowDeny, Cron: "* * * * *",
		Duration: &metav1.Duration{Duration: 24 * time.Hour},
	}}
	for name, tc := range map[string]struct {
		spec  sluicev1.FreezeSpec
		holds bool
	}{
		"all": {sluicev1.FreezeSpec{Windows: always}, true},
		"by a label of the pipeline": {
			sluicev1.FreezeSpec{Windows: always, PipelineSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "shop"}}},
			true,
		},
		"by another label": {
			sluicev1.FreezeSpec{Windows: always, PipelineSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "other"}}},
			false,
		},
		"by a label of the namespace": {
			sluicev1.FreezeSpec{Windows: always, NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "gold"}}},
			true,
		},
		"by another of the namespace": {
			sluicev1.FreezeSpec{Windows: always, NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "lead"}}},
			false,
		},
		"production alone": {sluicev1.FreezeSpec{Windows: always, Stages: []string{"production"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t, func(p *sluicev1.Pipeline) { p.Labels = map[string]string{"team": "shop"} })
			e.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "apps", Labels: map[string]string{"tier": "gold"}}})
			e.create(&sluicev1.Freeze{ObjectMeta: metav1.ObjectMeta{Name: "holidays"}, Spec: tc.spec})
			e.reconcile()
			e.release("2")
			e.reconcile()
			if holds := e.has("staging") == "1"; holds != tc.holds {
				t.Errorf("staging has %s: %+v", e.has("staging"), e.pipeline.Status.Stages[0])
			}
		})
	}
}

// Where another controller serves GitRepositories it is asked to fetch what was pushed.
func TestASourceOfAnotherControllerIsAsked(t *testing.T) {
	e := newEnv(t)
	e.ServesSources = false
	e.reconcile()
	e.release("2")
	e.reconcile()
	var repo sourcev1.GitRepository
	e.get("fleet", &repo)
	if repo.Annotations[meta.ReconcileRequestAnnotation] == "" || len(*e.woken) > 0 {
		t.Errorf("annotations %v, woken %v", repo.Annotations, *e.woken)
	}
}

func TestWhoACommitIsOf(t *testing.T) {
	e := newEnv(t, func(p *sluicev1.Pipeline) { p.Spec.Commit = &sluicev1.Commit{} })
	e.pipeline.Spec.Commit.Author.Name, e.pipeline.Spec.Commit.Author.Email = "Release", "release@example.com"
	e.reconcile()
	e.release("2")
	e.reconcile()
	if who := e.repo.Git("log", "-1", "--format=%an <%ae>", "main"); who != "Release <release@example.com>" {
		t.Errorf("it is of %s", who)
	}
	if who := e.repo.Git("log", "-1", "--format=%an <%ae>", "sluice/state/apps.shop"); who != "Release <release@example.com>" {
		t.Errorf("the state is of %s", who)
	}
}

// names are those of the pipelines that a watch wakes.
func names(requests []reconcile.Request) string {
	var found []string
	for _, r := range requests {
		found = append(found, r.String())
	}
	slices.Sort(found)
	return strings.Join(found, " ")
}

func TestWhichPipelinesAnObjectWakes(t *testing.T) {
	e := newEnv(t)
	other := shop(func(p *sluicev1.Pipeline) {
		p.Namespace, p.Name = "team", "web"
		p.Spec.Artifacts[0] = sluicev1.Artifact{Name: "app", OCIRepositoryRef: &meta.LocalObjectReference{Name: "web"}}
		p.Spec.SourceRef.Namespace = "apps"
		p.Spec.Stages[0].Ready[0].Namespace = "apps"
		p.Spec.Stages[1].Verify = []sluicev1.Verification{{Canary: &sluicev1.CanaryVerification{Name: "web"}}}
		p.Spec.Stages[1].Approval = &sluicev1.Approval{}
	})
	for _, p := range []*sluicev1.Pipeline{e.pipeline, other} {
		p.ResourceVersion = ""
		e.create(p)
	}
	object := func(namespace, name string) client.Object {
		return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	}
	by := e.affected()
	for name, tc := range map[string]struct {
		wakes  func(context.Context, client.Object) []reconcile.Request
		object client.Object
		want   string
	}{
		"its ImagePolicy":                     {by.pipelinesOfPolicy, object("apps", "app"), "apps/shop"},
		"an ImagePolicy of another namespace": {by.pipelinesOfPolicy, object("team", "app"), ""},
		"the GitRepository of both":           {by.pipelinesOfSource, object("apps", "fleet"), "apps/shop team/web"},
		"another GitRepository":               {by.pipelinesOfSource, object("team", "fleet"), ""},
		"a Freeze":                            {by.allPipelines, object("", "holidays"), "apps/shop team/web"},
		"the Kustomization of both":           {by.pipelinesOfObject(kustomizationKind), object("apps", "staging"), "apps/shop team/web"},
		"the Kustomization of one":            {by.pipelinesOfObject(kustomizationKind), object("team", "production"), "team/web"},
		"an object of another kind":           {by.pipelinesOfObject("Canary"), object("apps", "staging"), ""},
		"its Canary":                          {by.pipelinesOfObject("Canary"), object("team", "web"), "team/web"},
		"its OCIRepository":                   {by.pipelinesOfObject(sourcev1.OCIRepositoryKind), object("team", "web"), "team/web"},
		"the policy of commands":              {by.pipelinesToGuard, object("", PolicyName), "team/web"},
		"another policy":                      {by.pipelinesToGuard, object("", "other"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := names(tc.wakes(t.Context(), tc.object)); got != tc.want {
				t.Errorf("woken are %q, want %q", got, tc.want)
			}
		})
	}
}

func TestTheHostThatAPipelineWaitsFor(t *testing.T) {
	e := newEnv(t)
	for name, tc := range map[string]struct {
		change func(*sluicev1.Pipeline)
		want   string
	}{
		"its Git server":              {func(*sluicev1.Pipeline) {}, strings.TrimPrefix(e.server.URL, "http://")},
		"none: no such GitRepository": {func(p *sluicev1.Pipeline) { p.Spec.SourceRef.Name = "nowhere" }, ""},
		"its registry": {func(p *sluicev1.Pipeline) {
			p.Spec.SourceRef, p.Spec.Stages[0].Write = nil, sluicev1.Write{Tag: &sluicev1.WriteTag{Repository: "registry.example.com/app", Tag: "a"}}
		}, "registry.example.com"},
		"none: no repository": {func(p *sluicev1.Pipeline) {
			p.Spec.SourceRef, p.Spec.Stages[0].Write = nil, sluicev1.Write{Tag: &sluicev1.WriteTag{Repository: "A B", Tag: "a"}}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := e.host(t.Context(), shop(tc.change)); got != tc.want {
				t.Errorf("it is %q, want %q", got, tc.want)
			}
		})
	}
}
