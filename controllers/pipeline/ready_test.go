// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/kubeconfig"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/promotion/cluster"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
	"github.com/sluice-cd/sluice/test/make"
)

// liveObjects reads the objects of one cluster, whichever kubeConfig is asked for; those
// of the cluster "down" cannot be reached.
type liveObjects struct {
	client.Reader
	done *int
}

func (l liveObjects) Get(ctx context.Context, at *meta.KubeConfigReference, o cluster.Object) (cluster.Answer, error) {
	if at != nil && at.SecretRef.Name == "down" {
		return cluster.Answer{Unknown: true, Failed: true, Why: o.String() + " is not known: connection refused"}, nil
	}
	if o.Kind == "Widget" {
		return cluster.Answer{Unknown: true, Failed: true, Why: o.String() + " is not known: install its CRD, or correct apiVersion"}, nil
	}
	if o.Kind == "Gadget" {
		return cluster.Answer{Unknown: true, Why: o.String() + " is being looked for"}, nil
	}
	if at != nil && at.SecretRef.Name == "missing" {
		return cluster.Answer{}, fmt.Errorf("%w: Secret apps/missing does not exist", kubeconfig.ErrInvalid)
	}
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(o.GroupVersionKind)
	err := l.Reader.Get(ctx, o.NamespacedName, u)
	if apierrors.IsNotFound(err) {
		return cluster.Answer{Missing: true, Why: o.String() + " does not exist"}, nil
	}
	return cluster.Answer{Object: u}, err
}

func (l liveObjects) Done() { *l.done++ }

// looksAt has a process read all but Kustomizations and Canaries as they are now.
func looksAt(r *Reconciler, c client.Reader) {
	done := 0
	r.cached = map[string]bool{kustomizationKind: true, flaggerv1.CanaryKind: true}
	r.readerOf = func(types.NamespacedName) objectReader { return liveObjects{c, &done} }
}

// put creates an object, or takes the place of what has its name.
func (e *env) put(text string) {
	e.t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		e.t.Fatal(err)
	}
	if u.GetNamespace() == "" {
		u.SetNamespace("apps")
	}
	old := u.DeepCopy()
	if err := e.Client.Get(e.t.Context(), client.ObjectKeyFromObject(u), old); err == nil {
		u.SetResourceVersion(old.GetResourceVersion())
		e.update(u)
		return
	}
	if err := e.Client.Create(e.t.Context(), u); err != nil {
		e.t.Fatal(err)
	}
}

// waitsFor has staging wait for these objects in the place of its Kustomization.
func waitsFor(refs ...sluicev1.ReadyReference) func(*sluicev1.Pipeline) {
	return func(p *sluicev1.Pipeline) { p.Spec.Stages[0].Ready = refs }
}

const database = `
apiVersion: example.com/v1
kind: Database
metadata: {name: db, generation: 2, labels: {kustomize.toolkit.fluxcd.io/name: staging, kustomize.toolkit.fluxcd.io/namespace: apps}}
status: {observedGeneration: 2, conditions: [{type: Ready, status: "True"}]}
`

const helmRelease = `
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: app, generation: 2, labels: {kustomize.toolkit.fluxcd.io/name: staging, kustomize.toolkit.fluxcd.io/namespace: apps}}
status: {observedGeneration: 2, conditions: [{type: Ready, status: "True", reason: UpgradeSucceeded}]}
`

const argoApplication = `
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: app}
status:
  reconciledAt: "2026-01-01T00:01:00Z"
  health: {status: Healthy}
  sync: {status: Synced, revision: HEAD}
  operationState: {phase: Succeeded, finishedAt: "2026-01-01T00:00:00Z", syncResult: {revision: HEAD}}
`

const deployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: app, generation: 2}
spec: {replicas: 1, template: {spec: {containers: [{name: app, image: "registry/app:2"}]}}}
status: {observedGeneration: 2, replicas: 1, updatedReplicas: 1, readyReplicas: 1, availableReplicas: 1,
  conditions: [{type: Available, status: "True"}]}
`

const releaseOfHelm = `
apiVersion: example.com/v1
kind: Database
metadata: {name: db, labels: {helm.toolkit.fluxcd.io/name: app, helm.toolkit.fluxcd.io/namespace: apps}}
status: {conditions: [{type: Ready, status: "True"}]}
`

// A build that had no time, on a machine that was busy, put a good version into quarantine.
func TestABuildThatFailsIsTheFaultOfAVersionWhenItLasts(t *testing.T) {
	for name, tc := range map[string]struct {
		lasts   time.Duration
		stalled bool
		want    string
	}{
		"it may pass":                   {lasts: time.Minute, want: "2"},
		"it lasts":                      {lasts: 2 * time.Minute, want: "1"},
		"nothing but a change can help": {stalled: true, want: "1"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t)
			e.reconcile()
			e.release("2")
			e.reconcile()
			e.apply("staging", func(k *kustomizev1.Kustomization) {
				fails(k)
				k.Status.Conditions[0].Reason, k.Status.Conditions[0].LastTransitionTime = meta.BuildFailedReason, metav1.NewTime(e.clock.Now())
				if tc.stalled {
					k.Status.Conditions = append(k.Status.Conditions, metav1.Condition{Type: meta.StalledCondition, Status: metav1.ConditionTrue})
				}
			})
			e.clock.Step(tc.lasts)
			result, err := e.Reconcile(t.Context(), e.pipeline)
			if err != nil || tc.want == "2" && result.After != buildPatience-tc.lasts {
				t.Errorf("look again after %s, %v", result.After, err)
			}
			e.want(tc.want, "1")
		})
	}
}

func TestWhenAnObjectRunsAVersion(t *testing.T) {
	kinds := map[string]sluicev1.ReadyReference{
		"Database": {APIVersion: "example.com/v1", Kind: "Database", Name: "db"}, "HelmRelease": {Kind: "HelmRelease", Name: "app"},
		"Application": {Kind: "Application", Name: "app"}, "Deployment": {APIVersion: "apps/v1", Kind: "Deployment", Name: "app"},
	}
	for name, tc := range map[string]struct {
		objects []string // HEAD is the commit with the version
		// applied means that the Kustomization applied the version.
		applied bool
		want    string // part of what staging says; "" is that it is verified
		failed  bool
	}{
		"an object of any kind that is Ready": {objects: []string{database}, applied: true},
		"one whose Kustomization has not applied the version": {
			objects: []string{database}, want: "Database apps/db does not have this version yet",
		},
		"one whose newest generation was not observed": {
			objects: []string{strings.Replace(database, "observedGeneration: 2", "observedGeneration: 1", 1)}, applied: true,
			want: "Database apps/db is not Ready",
		},
		"one without a Ready condition": {
			objects: []string{strings.Replace(database, "type: Ready", "type: Synced", 1)}, applied: true,
			want: "it has no Ready condition",
		},
		"one that gave up": {objects: []string{strings.Replace(database, "type: Ready", "type: Stalled", 1)}, applied: true, failed: true},
		"one that gave up with what was there before": {
			objects: []string{strings.Replace(database, "type: Ready", "type: Stalled", 1)},
			want:    "does not have this version yet",
		},
		"a HelmRelease": {objects: []string{helmRelease}, applied: true},
		"a HelmRelease that upgrades": {
			objects: []string{strings.Replace(helmRelease, `"True", reason: UpgradeSucceeded`,
				`Unknown, reason: Progressing, message: "Running 'upgrade' action"`, 1)},
			applied: true, want: "HelmRelease apps/app is not Ready",
		},
		"a HelmRelease that is suspended": {
			objects: []string{helmRelease + "spec: {suspend: true}\n"}, applied: true,
			want: "HelmRelease apps/app is suspended",
		},
		"a HelmRelease without retries left": {
			objects: []string{strings.Replace(helmRelease, "[{type: Ready",
				"[{type: Stalled, status: \"True\", reason: RetriesExceeded}, {type: Ready", 1)}, applied: true, failed: true,
		},
		"what a HelmRelease installed": {objects: []string{releaseOfHelm, helmRelease}, applied: true},
		"an Application":               {objects: []string{argoApplication}},
		"an Application of another revision": {
			objects: []string{strings.ReplaceAll(argoApplication, "HEAD", "abcdef6789012345678901234567890123456789")},
			want:    "Application apps/app has not synced this version yet",
		},
		"an Application of several sources": {
			objects: []string{strings.Replace(argoApplication, "syncResult: {revision: HEAD}", "syncResult: {revisions: [1.2.3, HEAD]}", 1)},
		},
		"an Application that was not looked at since": {
			objects: []string{strings.Replace(argoApplication, `finishedAt: "2026-01-01T00:00:00Z"`, `finishedAt: "2026-01-01T00:02:00Z"`, 1)},
			want:    "Application apps/app is being synced",
		},
		"an Application that progresses": {
			objects: []string{strings.Replace(argoApplication, "Healthy", "Progressing", 1)},
			want:    "Application apps/app is Synced and Progressing",
		},
		"an Application that is degraded": {
			objects: []string{strings.Replace(argoApplication, "Healthy", "Degraded", 1)}, failed: true,
		},
		"an Application whose sync failed": {
			objects: []string{strings.Replace(argoApplication, "phase: Succeeded", "phase: Failed", 1)}, failed: true,
		},
		"an Application out of sync": {
			objects: []string{strings.Replace(argoApplication, "status: Synced", "status: OutOfSync", 1)},
			want:    "is OutOfSync and Healthy",
		},
		"a Deployment that runs the image": {objects: []string{deployment}},
		"a Deployment that runs another": {
			objects: []string{strings.Replace(deployment, "app:2", "app:1", 1)},
			want:    "Deployment apps/app does not have this version yet",
		},
		"a Deployment that rolls out": {
			objects: []string{strings.Replace(deployment, "updatedReplicas: 1", "updatedReplicas: 0", 1)},
			want:    "Deployment apps/app is not Ready",
		},
	} {
		t.Run(name, func(t *testing.T) {
			ref := kinds["Database"]
			for kind := range kinds {
				if strings.Contains(tc.objects[0], "kind: "+kind+"\n") {
					ref = kinds[kind]
				}
			}
			e := newEnv(t)
			e.reconcile()
			waitsFor(ref)(e.pipeline)
			e.release("2")
			for _, text := range tc.objects { // none has the version yet
				e.put(strings.NewReplacer("HEAD", e.repo.Head("main"), "app:2", "app:1").Replace(text))
			}
			e.reconcile()
			e.want("2", "1")
			for _, text := range tc.objects {
				e.put(strings.ReplaceAll(text, "HEAD", e.repo.Head("main")))
			}
			if tc.applied {
				e.apply("staging")
			}
			e.reconcile()
			switch {
			case tc.failed:
				e.want("1", "1")
			case tc.want == "":
				e.want("2", "2")
			default:
				e.want("2", "1")
				if got := e.pipeline.Status.Stages[0].Message; !strings.Contains(got, tc.want) {
					t.Errorf("staging says %q", got)
				}
			}
		})
	}
}

// An object that is Ready with what was there before made a bundle look verified.
func TestAnObjectThatTellsNothingProvesNothing(t *testing.T) {
	e := newEnv(t, waitsFor(sluicev1.ReadyReference{APIVersion: "example.com/v1", Kind: "Database", Name: "db"}))
	e.put(strings.Replace(database, "kustomize.toolkit.fluxcd.io/name: staging", "a: b", 1))
	if _, err := e.Reconcile(t.Context(), e.pipeline); err == nil ||
		!strings.Contains(err.Error(), "nothing tells which version Database apps/db runs: name the Kustomization") {
		t.Errorf("got %v", err)
	}
	e.pipeline.Spec.Stages[0].Ready = append(e.pipeline.Spec.Stages[0].Ready, sluicev1.ReadyReference{Kind: "Kustomization", Name: "staging"})
	e.reconcile()
}

// A stage named a Kustomization of the same repository that applies another folder, and "is verified" was said of
// versions that nobody applies.
func TestAKustomizationThatAppliesAnotherFolderIsWarnedOf(t *testing.T) {
	const warning = "spec.stages[staging].ready: Kustomization apps/staging applies ./other, and spec.stages[staging].write.path is staging: "
	for name, tc := range map[string]struct {
		path, kind string
		change     func(*sluicev1.Stage)
		want       string
	}{
		"another folder":                  {path: "./other", want: warning},
		"one whose name only begins so":   {path: "./staging-eu", want: strings.Replace(warning, "other", "staging-eu", 1)},
		"its folder":                      {path: "./staging/"},
		"one above":                       {path: ""},
		"one below":                       {path: "./staging/eu"},
		"an artifact, with its own paths": {path: "./other", kind: "ExternalArtifact"},
		"another folder, by another Kustomization than that of its path": {path: "./other", change: func(s *sluicev1.Stage) {
			s.Ready = append(s.Ready, sluicev1.ReadyReference{Kind: "Kustomization", Name: "production"})
		}},
		"another folder, beside a workload that tells what it runs": {path: "./other", change: func(s *sluicev1.Stage) {
			s.Ready = append(s.Ready, sluicev1.ReadyReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "app"})
		}},
		"another folder of another cluster": {path: "./other", want: warning, change: func(s *sluicev1.Stage) {
			s.Ready[0].KubeConfig = kubeConfig("eu")
		}},
		"another folder than that of a target": {
			path: "./other", want: strings.Replace(warning, "[staging].write.path is staging", "[staging].targets[eu].path is staging/eu", 1),
			change: func(s *sluicev1.Stage) { s.Targets = []sluicev1.Target{{Name: "eu", Path: "staging/eu"}} },
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t)
			e.repo.Commit("main", gitserver.Files{"staging/eu/app.yaml": marked})
			e.fetch()
			e.put(deployment)
			e.apply("production", func(k *kustomizev1.Kustomization) { k.Spec.SourceRef.Kind, k.Spec.Path = "GitRepository", "." })
			e.apply("staging", func(k *kustomizev1.Kustomization) {
				k.Spec.SourceRef.Kind, k.Spec.Path = cmp.Or(tc.kind, "GitRepository"), tc.path
			})
			if tc.change != nil {
				tc.change(&e.pipeline.Spec.Stages[0])
			}
			var told []reconciler.Event
			for range 2 {
				result, err := e.Reconcile(t.Context(), e.pipeline)
				if err != nil || (tc.want != "") != strings.Contains(result.Message, "; warning: "+cmp.Or(tc.want, "spec.")) {
					t.Errorf("Ready says %q, %v", result.Message, err)
				}
				told = append(told, result.Events...)
			}
			told = slices.DeleteFunc(told, func(e reconciler.Event) bool { return e.Reason != sluicev1.AppliedElsewhereReason })
			c := apimeta.FindStatusCondition(e.pipeline.Status.Conditions, sluicev1.WarningCondition)
			switch {
			case tc.want == "" && (c != nil || len(told) > 0):
				t.Errorf("warned: %+v, %+v", c, told)
			case tc.want != "" && (c == nil || !strings.HasPrefix(c.Message, tc.want) || len(told) != 1 || !told[0].Advice):
				t.Errorf("warned: %+v, %+v", c, told)
			}
			e.apply("staging", func(k *kustomizev1.Kustomization) { k.Spec.Path = "." })
			e.reconcile()
			if c := apimeta.FindStatusCondition(e.pipeline.Status.Conditions, sluicev1.WarningCondition); c != nil {
				t.Errorf("when it is mended: %+v", c)
			}
		})
	}
}

// A Pipeline said that it was Ready while nobody could look at what its stages are judged by.
func TestAnObjectThatCannotBeLookedAtHoldsItsStage(t *testing.T) {
	const first = "spec.stages[staging].ready[0]"
	in := func(secret string) func(s *sluicev1.Stage) {
		return func(s *sluicev1.Stage) { s.Ready[0].KubeConfig = kubeConfig(secret) }
	}
	for name, tc := range map[string]struct {
		change func(s *sluicev1.Stage)
		want   string
	}{
		"its cluster does not answer": {in("down"), "Kustomization apps/staging is not known: connection refused: it is named in " + first},
		"its kubeConfig does not exist": {in("missing"), "Kustomization apps/staging: the kubeConfig cannot be used: " +
			"Secret apps/missing does not exist: create or correct it, or name another one, in " + first + ".kubeConfig"},
		"the kubeConfig of its target does not exist": {
			func(s *sluicev1.Stage) {
				s.Targets = []sluicev1.Target{{Name: "eu", KubeConfig: kubeConfig("missing")}}
			},
			"eu: Kustomization apps/staging: the kubeConfig cannot be used: Secret apps/missing does not exist: " +
				"create or correct it, or name another one, in spec.stages[staging].targets[eu].kubeConfig",
		},
		"its kind is not installed": {
			func(s *sluicev1.Stage) {
				s.Ready = append(s.Ready, sluicev1.ReadyReference{APIVersion: "example.com/v1", Kind: "Widget", Name: "w"})
			},
			"Widget apps/w is not known: install its CRD, or correct apiVersion: it is named in spec.stages[staging].ready[1]",
		},
		"that of a Canary that verifies does not exist": {
			func(s *sluicev1.Stage) {
				s.Verify = []sluicev1.Verification{{Canary: &sluicev1.CanaryVerification{Name: "app", KubeConfig: kubeConfig("missing")}}}
			},
			"Canary apps/app: the kubeConfig cannot be used: Secret apps/missing does not exist: create or correct it, or name another one, " +
				"in spec.stages[staging].verify[0].canary.kubeConfig",
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t)
			e.reconcile()
			stage := &e.pipeline.Spec.Stages[0]
			right := stage.DeepCopy()
			tc.change(stage)
			e.release("2")
			e.reconcile()
			e.apply("staging")
			e.clock.Step(time.Hour)
			result, err := e.Reconcile(t.Context(), e.pipeline)
			if err == nil || err.Error() != tc.want || reconciler.ReasonOf(err, e.Reason) != meta.DependencyNotReadyReason {
				t.Errorf("got %v, want %q", err, tc.want)
			}
			if got := e.pipeline.Status.Stages[0].Message; !strings.Contains(got, tc.want) || strings.Count(got, "install its CRD") > 1 {
				t.Errorf("staging says %q", got)
			}
			if result.After != unwatchedDelay && stage.Ready[0].KubeConfig != nil { // nobody tells when the Secret leads elsewhere
				t.Errorf("it is looked at again after %s", result.After)
			}
			e.want("2", "1")
			*stage = *right
			e.reconcile()
			e.want("2", "2")
		})
	}
}

// Each process begins by looking: that is no reason to say that something is wrong.
func TestAnObjectThatIsBeingLookedForIsNoFault(t *testing.T) {
	e := newEnv(t, func(p *sluicev1.Pipeline) {
		p.Spec.Stages[0].Ready = append(p.Spec.Stages[0].Ready, sluicev1.ReadyReference{APIVersion: "example.com/v1", Kind: "Gadget", Name: "g"})
	})
	result, err := e.Reconcile(t.Context(), e.pipeline)
	if err != nil || !strings.Contains(result.Message, "Gadget apps/g is being looked for") {
		t.Errorf("%q, %v", result.Message, err)
	}
}

// A misspelt name is no bad release: the version would go into quarantine everywhere, and
// the one before it could not be verified either.
func TestAnObjectThatDoesNotExistHoldsItsStage(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(stage *sluicev1.Stage)
		want   string
	}{
		"one that has to be Ready": {
			func(s *sluicev1.Stage) { s.Ready[0].Name = "stagin" },
			"Kustomization apps/stagin does not exist: create it, or correct its name in spec.stages[staging].ready",
		},
		"a Canary that verifies": {
			func(s *sluicev1.Stage) {
				s.Verify = []sluicev1.Verification{{Canary: &sluicev1.CanaryVerification{Name: "ap"}}}
			},
			"Canary apps/ap does not exist: create it, or correct its name in spec.stages[staging].verify",
		},
		"a MetricTemplate of a check": {
			func(s *sluicev1.Stage) {
				s.Verify = []sluicev1.Verification{{Metrics: &sluicev1.MetricsVerification{
					Checks: []flaggerv1.CanaryMetric{{
						Name: "latency", Interval: "1m", ThresholdRange: &flaggerv1.CanaryThresholdRange{Max: new(500.0)},
						TemplateRef: &flaggerv1.CrossNamespaceObjectReference{Name: "latency", Namespace: "monitoring"},
					}},
					For: metav1.Duration{Duration: time.Minute}, Interval: metav1.Duration{Duration: time.Minute},
				}}}
			},
			"MetricTemplate monitoring/latency does not exist: create it, or correct its name in spec.stages[staging].verify",
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t)
			e.measures(newMetricsServer(t))
			e.reconcile()
			stage := &e.pipeline.Spec.Stages[0]
			right := stage.DeepCopy()
			held := func(what, staging string) {
				t.Helper()
				_, err := e.Reconcile(t.Context(), e.pipeline)
				if err == nil || err.Error() != tc.want || reconciler.ReasonOf(err, e.Reason) != meta.DependencyNotReadyReason {
					t.Errorf("%s: %v, want %q", what, err, tc.want)
				}
				e.want(staging, "1")
				if got := e.pipeline.Status.Stages[0]; !strings.Contains(got.Message, tc.want) || got.Targets[0].Ready != metav1.ConditionUnknown {
					t.Errorf("%s: %+v", what, got)
				}
				if q := e.pipeline.Status.Quarantined; len(q) > 0 {
					t.Errorf("%s: in quarantine: %+v", what, q)
				}
			}
			tc.change(stage)
			held("while nothing is new", "1")
			e.release("2")
			held("before it is written", "1")
			*stage = *right.DeepCopy()
			e.reconcile()
			tc.change(stage)
			e.apply("staging")
			e.clock.Step(24 * time.Hour)
			held("after it was written", "2")
			*stage = *right
			e.reconcile()
			e.want("2", "2")
		})
	}
}

func kubeConfig(secret string) *meta.KubeConfigReference {
	return &meta.KubeConfigReference{SecretRef: &meta.SecretKeyReference{Name: secret}}
}

func TestReferencesThatAreRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*sluicev1.Pipeline)
		want   string
	}{
		"a kind that nobody knows": {
			waitsFor(sluicev1.ReadyReference{Kind: "Database", Name: "db"}),
			"spec.stages[staging].ready[0]: apiVersion is required for the kind Database",
		},
		"a kind that is misspelt": {
			waitsFor(sluicev1.ReadyReference{Kind: "Kustomizaton", Name: "db"}), "the kind Kustomizaton, did you mean Kustomization?",
		},
		"an apiVersion that is none": {
			waitsFor(sluicev1.ReadyReference{APIVersion: "a/b/c", Kind: "Database", Name: "db"}),
			"spec.stages[staging].ready[0]: unexpected GroupVersion string: a/b/c",
		},
		"a Secret": {
			waitsFor(sluicev1.ReadyReference{APIVersion: "v1", Kind: "Secret", Name: "db"}), "a Secret is never Ready",
		},
		"another namespace": {
			waitsFor(sluicev1.ReadyReference{Kind: "HelmRelease", Name: "app", Namespace: "other"}),
			"can't access HelmRelease 'other/app', cross-namespace references have been blocked",
		},
		"a Canary of another namespace": {func(p *sluicev1.Pipeline) {
			p.Spec.Stages[0].Verify = []sluicev1.Verification{{Canary: &sluicev1.CanaryVerification{Name: "app", Namespace: "other"}}}
		}, "can't access Canary 'other/app', cross-namespace references have been blocked"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t, tc.change)
			e.Access.NoCrossNamespaceRefs = true
			if _, err := e.Reconcile(t.Context(), e.pipeline); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A tenant's label led to the Kustomization of another one.
func TestALabelDoesNotLeadToAnotherNamespace(t *testing.T) {
	e := newEnv(t, waitsFor(sluicev1.ReadyReference{APIVersion: "example.com/v1", Kind: "Database", Name: "db"}))
	e.Access.NoCrossNamespaceRefs = true
	e.put(strings.Replace(database, "namespace: apps", "namespace: other", 1))
	if _, err := e.Reconcile(t.Context(), e.pipeline); err == nil || !strings.Contains(err.Error(), "nothing tells which version") {
		t.Errorf("got %v", err)
	}
}

func TestACanaryInAnotherCluster(t *testing.T) {
	e := newEnv(t)
	e.reconcile()
	e.pipeline.Spec.Stages[0].Verify = []sluicev1.Verification{{
		Canary: &sluicev1.CanaryVerification{Name: "app", KubeConfig: kubeConfig("up")},
	}}
	e.put(deployment)
	c := make.Canary("apps", "app")
	c.Status.Phase, c.Status.LastTransitionTime = flaggerv1.CanaryPhaseProgressing, metav1.NewTime(e.clock.Now())
	e.create(c)
	e.release("2")
	e.reconcile()
	e.apply("staging")
	e.reconcile()
	e.want("2", "1")
	if got := e.pipeline.Status.Stages[0].Message; !strings.Contains(got, "Canary apps/app is Progressing") {
		t.Errorf("staging says %q", got)
	}
	c.Status.Phase = flaggerv1.CanaryPhaseSucceeded
	e.update(c)
	e.reconcile()
	e.want("2", "2")
}

func TestWhichImageIsOfAVersion(t *testing.T) {
	want := sluicev1.Version{Image: "registry:5000/app", Tag: "2", Digest: "sha256:abc"}
	for image, is := range map[string]bool{
		"registry:5000/app:2": true, "registry:5000/app:1@sha256:abc": true, "registry:5000/app:1": false, "registry:5000/other:2": false,
		"registry:5000/app2:2": false,
	} {
		if runs(image, want) != is {
			t.Errorf("%s: %v", image, !is)
		}
	}
}
