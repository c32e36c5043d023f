// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"strings"
	"sync"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
	"github.com/sluice-cd/sluice/test/harness"
	"github.com/sluice-cd/sluice/writeback"
)

const marked = "image: registry/app:1 # {\"$imagepolicy\": \"apps:app\"}\n"

type woken []types.NamespacedName

func (w *woken) Wake(source types.NamespacedName) { *w = append(*w, source) }

// env is a reconciler with a Git server, and a pipeline from staging to production whose
// Kustomizations apply what the test says.
type env struct {
	*Reconciler
	t        *testing.T
	server   *gitserver.Server
	repo     *gitserver.Repo
	head     func(branch string) string
	clock    *clocktesting.FakeClock
	woken    *woken
	pipeline *sluicev1.Pipeline
}

func newEnv(t *testing.T, changes ...func(*sluicev1.Pipeline)) *env {
	t.Helper()
	server := gitserver.New(t)
	repo := server.Repo("fleet")
	repo.Commit("main", gitserver.Files{"staging/app.yaml": marked, "production/app.yaml": marked})
	e := newEnvAt(t, sourcev1.GitRepositorySpec{URL: repo.URL}, repo.Head, changes...)
	e.server, e.repo = server, repo
	return e
}

// kinds are those that a pipeline looks at, registered once: hundreds of tests begin with them.
var kinds = sync.OnceValue(func() *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, appsv1.AddToScheme, batchv1.AddToScheme, admissionv1.AddToScheme, imagev1.AddToScheme, sourcev1.AddToScheme,
		kustomizev1.AddToScheme, flaggerv1.AddToScheme, sluicev1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			panic(err)
		}
	}
	return scheme
})

// newEnvAt is one with a repository that is there.
func newEnvAt(t *testing.T, source sourcev1.GitRepositorySpec, head func(string) string, changes ...func(*sluicev1.Pipeline)) *env {
	t.Helper()
	source.Reference = &sourcev1.GitRepositoryRef{Branch: "main"}
	e := &env{t: t, woken: &woken{}, clock: clocktesting.NewFakeClock(time.Unix(1_700_000_000, 0)), pipeline: shop(changes...), head: head}
	objects := []client.Object{
		&sourcev1.GitRepository{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "fleet"}, Spec: source},
		&imagev1.ImagePolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "app"}},
		&kustomizev1.Kustomization{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "staging"}},
		&kustomizev1.Kustomization{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "production"}},
	}
	c := fake.NewClientBuilder().WithScheme(kinds()).WithObjects(objects...).WithStatusSubresource(&sluicev1.Pipeline{}).
		WithIndex(&sluicev1.Pipeline{}, byFields, fieldKeys).Build()
	e.Reconciler = e.process(c)
	e.release("1")
	e.fetch()
	for _, stage := range []string{"staging", "production"} {
		e.apply(stage)
	}
	return e
}

// process is a new process of the controller, which remembers nothing.
func (e *env) process(c client.Client) *Reconciler {
	mirrors := git.NewMirrors(e.t.TempDir(), e.clock)
	r := &Reconciler{
		Client: c, Live: c, Writer: writeback.NewWriter(mirrors, e.clock),
		Mirrors: mirrors, ServesSources: true, Sources: e.woken, Clock: e.clock,
	}
	r.Access.Client = c
	r.copying.Patience = harness.Patience // of the test, which waits for the copy
	looksAt(r, c)
	return r
}

// shop is a pipeline that promotes the app from staging to production.
func shop(changes ...func(*sluicev1.Pipeline)) *sluicev1.Pipeline {
	stage := func(name string) sluicev1.Stage {
		return sluicev1.Stage{
			Name: name, Write: sluicev1.Write{Commit: &sluicev1.WriteCommit{}, Path: name},
			Ready: []sluicev1.ReadyReference{{Kind: "Kustomization", Name: name}}, VerifyTimeout: metav1.Duration{Duration: 30 * time.Minute},
		}
	}
	p := &sluicev1.Pipeline{
		ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "shop", UID: "1", Generation: 1},
		Spec: sluicev1.PipelineSpec{
			Artifacts: []sluicev1.Artifact{{Name: "app", ImagePolicyRef: &meta.LocalObjectReference{Name: "app"}}},
			SourceRef: &imagev1.CrossNamespaceSourceReference{Kind: "GitRepository", Name: "fleet"},
			Stages:    []sluicev1.Stage{stage("staging"), stage("production")}, Interval: metav1.Duration{Duration: 10 * time.Minute},
		},
	}
	p.Spec.Stages[1].After = &sluicev1.After{Stages: []string{"staging"}}
	for _, change := range changes {
		change(p)
	}
	return p
}

// release has the policy choose a tag.
func (e *env) release(tag string) {
	e.t.Helper()
	var policy imagev1.ImagePolicy
	e.get("app", &policy)
	policy.Status.LatestRef = &imagev1.ImageRef{Name: "registry/app", Tag: tag}
	policy.Status.Conditions = []metav1.Condition{{Type: meta.ReadyCondition, Status: metav1.ConditionTrue, Reason: meta.SucceededReason}}
	e.update(&policy)
}

// fetch has the GitRepository see the head of main.
func (e *env) fetch() {
	e.t.Helper()
	var repo sourcev1.GitRepository
	e.get("fleet", &repo)
	repo.Status.Artifact = &meta.Artifact{Revision: "main@sha1:" + e.head("main")}
	e.update(&repo)
}

// apply has a Kustomization apply the head of main.
func (e *env) apply(name string, changes ...func(*kustomizev1.Kustomization)) {
	e.t.Helper()
	var k kustomizev1.Kustomization
	e.get(name, &k)
	revision := "main@sha1:" + e.head("main")
	k.Status.LastAppliedRevision, k.Status.LastAttemptedRevision, k.Status.ObservedGeneration = revision, revision, k.Generation
	k.Status.Conditions = []metav1.Condition{{
		Type: meta.ReadyCondition, Status: metav1.ConditionTrue, Reason: meta.ReconciliationSucceededReason,
	}}
	for _, change := range changes {
		change(&k)
	}
	e.update(&k)
}

// fails has a Kustomization fail its health check with what it attempted.
func fails(k *kustomizev1.Kustomization) {
	k.Status.LastAppliedRevision = ""
	k.Status.Conditions = []metav1.Condition{{
		Type: meta.ReadyCondition, Status: metav1.ConditionFalse,
		Reason: meta.HealthCheckFailedReason, Message: "Deployment/apps/app is not ready",
	}}
}

func (e *env) get(name string, object client.Object) {
	e.t.Helper()
	if err := e.Client.Get(e.t.Context(), client.ObjectKey{Namespace: "apps", Name: name}, object); err != nil {
		e.t.Fatal(err)
	}
}

func (e *env) update(object client.Object) {
	e.t.Helper()
	if err := e.Client.Update(e.t.Context(), object); err != nil {
		e.t.Fatal(err)
	}
}

// reconcile runs the pipeline once; what it pushed is fetched. That it waits for an object
// which does not exist is no fault of the run.
func (e *env) reconcile() {
	e.t.Helper()
	_, err := e.Reconcile(e.t.Context(), e.pipeline)
	if err != nil && reconciler.ReasonOf(err, e.Reason) != meta.DependencyNotReadyReason {
		e.t.Fatal(err)
	}
	e.fetch()
}

// has is the version of a stage on main.
func (e *env) has(stage string) string {
	image, _, _ := strings.Cut(e.repo.Git("show", "main:"+stage+"/app.yaml"), " #")
	return strings.TrimPrefix(image, "image: registry/app:")
}

func (e *env) want(staging, production string) {
	e.t.Helper()
	if s, p := e.has("staging"), e.has("production"); s != staging || p != production {
		e.t.Errorf("staging has %s and production %s, want %s and %s: %+v", s, p, staging, production, e.pipeline.Status.Stages)
	}
}

func TestABundleGoesFromStagingToProduction(t *testing.T) {
	e := newEnv(t)
	e.reconcile()
	e.release("2")
	e.reconcile()
	e.want("2", "1")
	e.reconcile()
	e.want("2", "1") // not Ready yet
	e.apply("staging")
	e.reconcile()
	e.want("2", "2")
	e.apply("production")
	e.reconcile()
	if got := e.pipeline.Status.Stages[1]; got.Phase != sluicev1.StageVerified || got.Has == nil || got.Has.Versions[0].Tag != "2" {
		t.Errorf("production is %+v", got)
	}
	if log := e.repo.Git("log", "-1", "--format=%B", "main"); !strings.Contains(log, "Sluice-Stage: production") ||
		!strings.HasPrefix(log, "Promote production to app 2\n") {
		t.Errorf("the commit says %q", log)
	}
	if len(*e.woken) != 2 {
		t.Errorf("sources were woken %d times", len(*e.woken))
	}
}

func TestWhatFailsInProductionIsTakenBackInGit(t *testing.T) {
	e := newEnv(t)
	e.reconcile()
	e.release("2")
	e.reconcile()
	e.apply("staging")
	e.reconcile()
	e.want("2", "2")
	e.apply("production", fails)
	e.reconcile()
	e.want("2", "1")
	if q := e.pipeline.Status.Quarantined; len(q) != 1 || q[0].Stage != "production" ||
		!strings.Contains(q[0].Reason, "Deployment/apps/app is not ready") {
		t.Errorf("quarantined %+v", q)
	}
	subjects := strings.Split(e.repo.Git("log", "--format=%s", "sluice/state/apps.shop"), "\n")
	if !strings.Contains(strings.Join(subjects, "\n"), "App 2 failed in production") {
		t.Errorf("the state says %q", subjects)
	}
	e.apply("production")
	e.clock.Step(time.Hour)
	e.reconcile()
	e.want("2", "1")
}

func TestWhatMayPassIsNoFaultOfABundle(t *testing.T) {
	e := newEnv(t)
	e.reconcile()
	e.release("2")
	e.reconcile()
	e.apply("staging", func(k *kustomizev1.Kustomization) {
		fails(k)
		k.Status.Conditions[0].Reason, k.Status.Conditions[0].Message = meta.ReconciliationFailedReason, "the API server is away"
	})
	e.reconcile()
	e.want("2", "1")
	if q := e.pipeline.Status.Quarantined; len(q) > 0 {
		t.Errorf("quarantined %+v", q)
	}
	e.clock.Step(30 * time.Minute)
	e.reconcile()
	e.want("1", "1")
}

func TestARestartWritesNothing(t *testing.T) {
	e := newEnv(t)
	e.reconcile()
	e.release("2")
	e.reconcile()
	e.apply("staging")
	e.reconcile()
	e.apply("production")
	e.reconcile()
	status, main, state := e.pipeline.Status, e.repo.Head("main"), e.repo.Head("sluice/state/apps.shop")
	e.Reconciler = e.process(e.Client)
	e.pipeline = shop()
	e.reconcile()
	if e.repo.Head("main") != main || e.repo.Head("sluice/state/apps.shop") != state {
		t.Error("something was written")
	}
	if e.pipeline.Status.Summary != status.Summary || e.pipeline.Status.StateCommit != status.StateCommit ||
		len(e.pipeline.Status.Stages[1].Landings) != 2 {
		t.Errorf("status %+v, was %+v", e.pipeline.Status, status)
	}
}

func TestWithoutItsStateNothingIsPromoted(t *testing.T) {
	e := newEnv(t)
	e.reconcile()
	e.repo.Git("update-ref", "-d", "refs/heads/sluice/state/apps.shop")
	e.Reconciler = e.process(e.Client)
	e.release("2")
	e.reconcile()
	e.want("1", "1")
	if gates := e.pipeline.Status.Stages[0].Waiting; len(gates) == 0 || gates[0].Type != sluicev1.GateState {
		t.Errorf("waits for %+v", gates)
	}
}

// A GitRepository that fetched just before our push tells of the commit before ours. It
// looked as if somebody had taken the bundle out again.
func TestASourceThatLagsBehindOurPush(t *testing.T) {
	e := newEnv(t)
	e.reconcile()
	e.release("2")
	before := e.repo.Commit("main", gitserver.Files{"README.md": "by somebody else\n"})
	if _, err := e.Reconcile(t.Context(), e.pipeline); err != nil {
		t.Fatal(err)
	}
	e.want("2", "1")
	var repo sourcev1.GitRepository
	e.get("fleet", &repo)
	repo.Status.Artifact = &meta.Artifact{Revision: "main@sha1:" + before}
	e.update(&repo)
	if _, err := e.Reconcile(t.Context(), e.pipeline); err != nil {
		t.Fatal(err)
	}
	if landings := e.pipeline.Status.Stages[0].Landings; len(landings) != 2 || landings[0].Bundle.Versions[0].Tag != "2" {
		t.Errorf("staging had %+v", landings)
	}
	e.reconcile()
	e.apply("staging")
	e.reconcile()
	e.want("2", "2")
}

func TestACommandThatCannotBeReadIsNotIgnoredInSilence(t *testing.T) {
	e := newEnv(t)
	e.pipeline.Annotations = map[string]string{"promote.sluice.dev/production": `{"at":"2026-01-01T00:00:00Z","by":"alice"}`}
	result, err := e.Reconcile(t.Context(), e.pipeline)
	if err != nil ||
		!strings.Contains(result.Message, "annotation promote.sluice.dev/production is ignored: the command does not begin with its `by`") {
		t.Errorf("%q, %v", result.Message, err)
	}
}

func TestAtRestNoServerIsAsked(t *testing.T) {
	e := newEnv(t)
	e.reconcile()
	e.reconcile()
	before := e.server.Requests()
	for range 5 {
		e.reconcile()
	}
	if after := e.server.Requests(); after != before {
		t.Errorf("%d requests at rest", after-before)
	}
}
