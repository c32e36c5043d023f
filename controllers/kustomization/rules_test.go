// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"errors"
	"slices"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/test/harness"
)

func TestADependencyIsJudgedByItsExpression(t *testing.T) {
	tests := map[string]struct {
		expression string
		ready      bool
		additive   bool
		want       string // "" if nothing is waited for
	}{
		"one that is true": {expression: `dep.metadata.labels["app/version"] == self.metadata.labels["app/version"]`},
		"one that is false": {expression: `dep.metadata.labels["app/version"] == "2"`, ready: true,
			want: "dependency 'ns/b' is not ready according to readyExpr eval: mend what it asks for, or correct spec.dependsOn[0].readyExpr"},
		"one about the status": {expression: `dep.status.conditions.exists(c, c.type == "Ready" && c.status == "True")`,
			ready: true},
		"one that asks for what is not there": {expression: `dep.metadata.annotations.x == "1"`, ready: true,
			want: "no such key: annotations"},
		"one that takes too much": {expression: `dep.metadata.name.replace("", "` + strings.Repeat("x", 3000) +
			`").replace("x", "` + strings.Repeat("y", 900) + `") == ""`, want: "takes more than it may"},
		// It held a worker for as long as one that is evaluated beside the workers may take.
		"one that takes long": {expression: strings.Repeat(`[0,1,2,3,4,5,6,7,8,9].all(a, `, 5) + "true" + strings.Repeat(")", 5),
			want: "takes more than it may"},
		"one that is true, of what is not Ready": {expression: `true`},
		"the same, with the built-in check as well": {expression: `true`, additive: true,
			want: "dependency 'ns/b' is not ready: mend what its condition Ready says, or correct spec.dependsOn"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			dep := app("b")
			dep.Labels = map[string]string{"app/version": "1"}
			if tc.ready {
				apimeta.SetStatusCondition(&dep.Status.Conditions, metav1.Condition{Type: meta.ReadyCondition, Status: metav1.ConditionTrue,
					Reason: "Test"})
			}
			e := newTestEnv(t)
			if err := e.client.Create(t.Context(), dep); err != nil {
				t.Fatal(err)
			}
			if err := e.client.Status().Update(t.Context(), dep); err != nil {
				t.Fatal(err)
			}
			e.AdditiveReadyExpr = tc.additive
			e.commit("main@sha1:1", map[string]string{"a.yaml": configMap("a", "1")})
			k := app("a", "b")
			k.Labels = map[string]string{"app/version": "1"}
			k.Spec.DependsOn[0].ReadyExpr = tc.expression
			if tc.want == "" {
				e.must(k)
				return
			}
			_, err := e.run(k)
			if err == nil || !strings.Contains(err.Error(), tc.want) || errors.Is(err, reconcile.TerminalError(nil)) {
				t.Errorf("Reconcile = %v", err)
			}
		})
	}
}

func TestExpressionsThatCannotBeUsedStall(t *testing.T) {
	current := func(text string) kustomize.CustomHealthCheck {
		return kustomize.CustomHealthCheck{
			APIVersion: "example.com/v1", Kind: "Database", HealthCheckExpressions: kustomize.HealthCheckExpressions{Current: text},
		}
	}
	tests := map[string]struct {
		change       func(*kustomizev1.KustomizationSpec)
		want, reason string
	}{
		"an expression about a dependency that does not compile": {
			change: func(s *kustomizev1.KustomizationSpec) { s.DependsOn[0].ReadyExpr = "dep." },
			want:   "spec.dependsOn[0]: compiling the expression", reason: meta.InvalidCELExpressionReason,
		},
		"one about what it does not know": {
			change: func(s *kustomizev1.KustomizationSpec) { s.DependsOn[0].ReadyExpr = "other == 1" },
			want:   "undeclared reference", reason: meta.InvalidCELExpressionReason,
		},
		"one that is no condition": {
			change: func(s *kustomizev1.KustomizationSpec) { s.DependsOn[0].ReadyExpr = "'a'" },
			want:   "is not true or false", reason: meta.InvalidCELExpressionReason,
		},
		"expressions beyond all measure": {
			change: func(s *kustomizev1.KustomizationSpec) {
				for range 20 {
					s.DependsOn = append(s.DependsOn, kustomizev1.DependencyReference{
						Name: "b", ReadyExpr: "self.a == '" + strings.Repeat("x", 3000) + "'",
					})
				}
			}, want: "more than 32768 bytes", reason: meta.InvalidCELExpressionReason,
		},
		"more expressions than a worker evaluates": {
			change: func(s *kustomizev1.KustomizationSpec) {
				for range 101 {
					s.DependsOn = append(s.DependsOn, kustomizev1.DependencyReference{Name: "b", ReadyExpr: "true"})
				}
			}, want: "spec.dependsOn has more than 100 of them", reason: meta.InvalidCELExpressionReason,
		},
		"more health checks than are read": {
			change: func(s *kustomizev1.KustomizationSpec) {
				s.HealthCheckExprs = slices.Repeat([]kustomize.CustomHealthCheck{current("true")}, 101)
			},
			want: "healthCheckExprs has 101 expressions of 404 bytes in all; at most 100 of 32768 bytes are read: remove those of kinds that " +
				"the Kustomization does not apply", reason: meta.InvalidCELExpressionReason,
		},
		"a health check without a condition": {
			change: func(s *kustomizev1.KustomizationSpec) {
				s.HealthCheckExprs = []kustomize.CustomHealthCheck{current("")}
			},
			want: "healthCheckExprs[0].current", reason: meta.InvalidCELExpressionReason,
		},
		"two health checks of one kind": {
			change: func(s *kustomizev1.KustomizationSpec) {
				s.HealthCheckExprs = []kustomize.CustomHealthCheck{current("true"), current("false")}
			}, want: "healthCheckExprs[1]: there is another entry for Database.example.com", reason: meta.InvalidCELExpressionReason,
		},
		"a path that is no pointer": {
			change: func(s *kustomizev1.KustomizationSpec) { s.Ignore = []kustomizev1.IgnoreRule{{Paths: []string{"spec"}}} },
			want:   "ignore[0].paths[0] (spec): a JSON pointer begins with /", reason: meta.ReconciliationFailedReason,
		},
		"a path that is everything": {
			change: func(s *kustomizev1.KustomizationSpec) { s.Ignore = []kustomizev1.IgnoreRule{{Paths: []string{""}}} },
			want:   "annotate that with ssa: Ignore", reason: meta.ReconciliationFailedReason,
		},
		"a selector that does not parse": {
			change: func(s *kustomizev1.KustomizationSpec) {
				s.Ignore = []kustomizev1.IgnoreRule{{Paths: []string{"/spec/replicas"}, Target: &kustomize.Selector{Name: "("}}}
			}, want: "ignore[0].target.name", reason: meta.ReconciliationFailedReason,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			e := newTestEnv(t)
			e.commit("main@sha1:1", map[string]string{"a.yaml": configMap("a", "1")})
			k := app("a", "b")
			tc.change(&k.Spec)
			_, err := e.run(k)
			if err == nil || !strings.Contains(err.Error(), tc.want) || !errors.Is(err, reconcile.TerminalError(nil)) || e.Reason(err) != tc.reason {
				t.Errorf("Reconcile = %v, reason %s", err, e.Reason(err))
			}
		})
	}
}

// What an expression may ask for starts a reconcile, and nothing else does.
func TestWhatAnExpressionAsksForIsWatched(t *testing.T) {
	before, after := app("a", "b"), app("a", "b")
	after.Labels = map[string]string{"version": "2"}
	if !metadataChanged().Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after}) ||
		metadataChanged().Update(event.UpdateEvent{ObjectOld: before, ObjectNew: before.DeepCopy()}) {
		t.Error("the labels")
	}
	if len(judgesItself(t.Context(), after)) != 0 || len(judgedBy(after)) != 0 {
		t.Error("it has no expression")
	}
	after.Spec.DependsOn[0].ReadyExpr = "true"
	if len(judgesItself(t.Context(), after)) != 1 || judgedBy(after)[0] != "ns/b" {
		t.Error("it has an expression")
	}
	w := watches{cache: reconcilerWith(t, after).client}
	if len(w.expressionDependents(t.Context(), app("b"))) != 1 || len(w.expressionDependents(t.Context(), app("c"))) != 0 {
		t.Error("who has an expression about it")
	}
}

func database(phase string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"phase": phase}}}
	u.SetAPIVersion("example.com/v1")
	u.SetKind("Database")
	u.SetNamespace("ns")
	u.SetName("db")
	u.SetLabels(profile.Labels(profile.Owner("ns", "a")))
	return u
}

func TestHealthIsToldByExpressions(t *testing.T) {
	e := newTestEnv(t)
	const path = "/apis/example.com/v1/namespaces/ns/databases/db"
	e.commit("main@sha1:1", map[string]string{"a.yaml": "apiVersion: example.com/v1\nkind: Database\nmetadata: {name: db, namespace: ns}\n"})
	k := app("a")
	k.Generation = 1
	k.Spec.Wait = true
	k.Spec.HealthCheckExprs = []kustomize.CustomHealthCheck{{
		APIVersion: "example.com/v1", HealthCheckExpressions: kustomize.HealthCheckExpressions{
			Current: `status.phase == "Up"`, Failed: `has(status.phase) && status.phase == "Broken"`,
		},
	}}
	// It has no status yet, so an expression about it fails, and it is waited for.
	if result, err := e.run(k); err != nil || !result.Progressing {
		t.Fatalf("Reconcile = %+v, %v", result, err)
	}
	put := func(phase string) {
		u := database(phase)
		u.SetManagedFields(e.cluster.Get(path).GetManagedFields())
		e.cluster.Put(path, u)
	}
	wakes := e.wakes()
	put("Broken")
	harness.MustEventually(e.t, "a failure wakes", harness.True(func() bool { return e.wakes() > wakes }))
	harness.MustEventually(e.t, "it has failed", harness.True(func() bool {
		_, err := e.run(k)
		return err != nil && strings.Contains(err.Error(), "Database/ns/db status: 'Failed'")
	}))
	wakes = e.wakes()
	put("Up")
	harness.MustEventually(e.t, "health wakes", harness.True(func() bool { return e.wakes() > wakes }))
	e.must(k)
	// Another expression reads what is there with other eyes, without a change of it.
	k.Generation, k.Spec.HealthCheckExprs[0].Current = 2, `status.phase == "Down"`
	if result, err := e.run(k); err != nil || !result.Progressing {
		t.Fatalf("by another expression: %+v, %v", result, err)
	}
	wakes = e.wakes()
	put("Down")
	harness.MustEventually(e.t, "health wakes by the new expression", harness.True(func() bool { return e.wakes() > wakes }))
	e.must(k)
}
