// SPDX-License-Identifier: Apache-2.0

package freeze

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/kinds"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC) // a Monday

func at(hours int) *metav1.Time {
	return &metav1.Time{Time: noon.Add(time.Duration(hours) * time.Hour)}
}

func between(kind sluicev1.WindowKind, name string, from, to int) sluicev1.Window {
	return sluicev1.Window{Name: name, Kind: kind, From: at(from), To: at(to)}
}

func pipeline(namespace, name, tier string) *sluicev1.Pipeline {
	return &sluicev1.Pipeline{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"tier": tier}}}
}

func TestTheStatusSaysWhetherAFreezeIsInForce(t *testing.T) {
	deny := between(sluicev1.WindowDeny, "incident", -1, 2)
	broken := &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "tier", Operator: "Near"}}}
	tests := map[string]struct {
		spec        sluicev1.FreezeSpec
		want        sluicev1.FreezeStatus
		wantAfter   time.Duration
		wantMessage string
		wantErrors  []string
	}{
		"it is in force until its window closes": {
			spec: sluicev1.FreezeSpec{Windows: []sluicev1.Window{deny}},
			want: sluicev1.FreezeStatus{Active: true, Window: "incident", NextChange: at(2), Pipelines: 3}, wantAfter: 2 * time.Hour,
			wantMessage: "in force by window incident, until 2026-03-02T14:00:00Z",
		},
		"it will be when its window opens": {
			spec: sluicev1.FreezeSpec{Windows: []sluicev1.Window{between(sluicev1.WindowDeny, "later", 5, 6)}},
			want: sluicev1.FreezeStatus{NextChange: at(5), Pipelines: 3}, wantAfter: 5 * time.Hour,
			wantMessage: "not in force, from 2026-03-02T17:00:00Z",
		},
		"one that is over never wakes again": {
			spec: sluicev1.FreezeSpec{Windows: []sluicev1.Window{between(sluicev1.WindowDeny, "past", -6, -5)}},
			want: sluicev1.FreezeStatus{Pipelines: 3}, wantMessage: "not in force",
		},
		"outside of an Allow window it is in force": {
			spec: sluicev1.FreezeSpec{Windows: []sluicev1.Window{between(sluicev1.WindowAllow, "gap", 1, 2)}},
			want: sluicev1.FreezeStatus{Active: true, Window: "gap", NextChange: at(1), Pipelines: 3}, wantAfter: time.Hour,
			wantMessage: "in force by window gap, until 2026-03-02T13:00:00Z",
		},
		"where one window follows another, the change is the end of both": {
			spec: sluicev1.FreezeSpec{Windows: []sluicev1.Window{deny, between(sluicev1.WindowDeny, "rest", 1, 8)}},
			want: sluicev1.FreezeStatus{Active: true, Window: "incident", NextChange: at(8), Pipelines: 3}, wantAfter: time.Hour,
			wantMessage: "in force by window incident, until 2026-03-02T20:00:00Z",
		},
		"a window that is about rollbacks alone counts": {
			spec: sluicev1.FreezeSpec{Windows: []sluicev1.Window{{
				Name: "rollbacks", Kind: sluicev1.WindowDeny, From: at(-1), To: at(1), AppliesTo: []sluicev1.WindowScope{sluicev1.WindowRollsBack},
			}}},
			want: sluicev1.FreezeStatus{Active: true, Window: "rollbacks", NextChange: at(1), Pipelines: 3}, wantAfter: time.Hour,
			wantMessage: "in force by window rollbacks, until 2026-03-02T13:00:00Z",
		},
		"labels of pipelines and of namespaces select": {
			spec: sluicev1.FreezeSpec{
				Windows: []sluicev1.Window{deny}, PipelineSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "gold"}},
				NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"env": "live"}},
			},
			want: sluicev1.FreezeStatus{Active: true, Window: "incident", NextChange: at(2), Pipelines: 1}, wantAfter: 2 * time.Hour,
			wantMessage: "in force by window incident, until 2026-03-02T14:00:00Z",
		},
		"a window that cannot be understood freezes, and is named": {
			spec: sluicev1.FreezeSpec{Windows: []sluicev1.Window{{
				Name: "nightly", Kind: sluicev1.WindowDeny, Cron: "0 0 31 2 *", Until: "06:00",
			}}},
			want:       sluicev1.FreezeStatus{Active: true, Pipelines: 3},
			wantErrors: []string{`spec.windows: invalid window "nightly"`, "are frozen"},
		},
		"selectors that cannot be understood select everything, and are named": {
			spec: sluicev1.FreezeSpec{
				Windows: []sluicev1.Window{deny}, PipelineSelector: broken, NamespaceSelector: broken,
			},
			want:       sluicev1.FreezeStatus{Active: true, Window: "incident", NextChange: at(2), Pipelines: 3},
			wantErrors: []string{"spec.pipelineSelector: ", "spec.namespaceSelector: "},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			objects := []client.Object{
				&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{"env": "live"}}},
				&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "lab"}},
				pipeline("shop", "api", "gold"), pipeline("shop", "batch", "tin"), pipeline("lab", "api", "gold"),
			}
			scheme, err := kinds.Scheme()
			if err != nil {
				t.Fatal(err)
			}
			c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
			r := &Reconciler{Client: c, Live: c, Clock: testclock.NewFakePassiveClock(noon)}
			f := &sluicev1.Freeze{ObjectMeta: metav1.ObjectMeta{Name: "f"}, Spec: tc.spec}
			result, err := r.Reconcile(t.Context(), f)
			if diff := cmp.Diff(tc.want, f.Status); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
			if len(tc.wantErrors) > 0 {
				for _, want := range tc.wantErrors {
					if err == nil || !strings.Contains(err.Error(), want) || !errors.Is(err, reconcile.TerminalError(nil)) {
						t.Errorf("error %v, want a terminal one with %q", err, want)
					}
				}
				return
			}
			if err != nil || result.Message != tc.wantMessage || result.After != tc.wantAfter {
				t.Errorf("result %q after %s (%v), want %q after %s", result.Message, result.After, err, tc.wantMessage, tc.wantAfter)
			}
		})
	}
}
