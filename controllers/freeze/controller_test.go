// SPDX-License-Identifier: Apache-2.0

package freeze

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/kinds"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC) // a Monday

func at(hours int) *metav1.Time {
	return &metav1.Time{Time: noon.Add(time.Duration(hours) * time.Hour)}
}

func between(kind sluicev1.WindowKind, name string, from, to int) sluicev1.Window {
	return sluicev1.Window{Name: name, Kind: kind, From: at(from), To: at(to)}
}

func pipeline(namespace, name, tier string) *sluicev1.Pipeline {
	return &sluicev1.Pipeline{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"tier": tier}},
		Spec:       sluicev1.PipelineSpec{Stages: []sluicev1.Stage{{Name: "staging"}, {Name: "production"}}},
	}
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

type noEvents struct{}

func (noEvents) Event(client.Object, reconciler.Event) {}

// TestWhatIsSaidOfAFreezeThatIsWrong makes mistakes in the spec of a Freeze: whatever cannot be
// understood freezes, and the conditions name the field and what helps.
func TestWhatIsSaidOfAFreezeThatIsWrong(t *testing.T) {
	type spec = sluicev1.FreezeSpec
	daily := func(change func(*sluicev1.Window)) spec {
		w := sluicev1.Window{Name: "nightly", Kind: sluicev1.WindowDeny, Cron: "0 22 * * *", Until: "06:00"}
		change(&w)
		return spec{Windows: []sluicev1.Window{w}}
	}
	cron := func(text string) spec { return daily(func(w *sluicev1.Window) { w.Cron = text }) }
	zone := func(name string) spec { return daily(func(w *sluicev1.Window) { w.TimeZone = name }) }
	selector := func(key string, operator metav1.LabelSelectorOperator) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: key, Operator: operator}}}
	}
	always := []sluicev1.Window{between(sluicev1.WindowDeny, "incident", -1, 2)}
	pipelines := func(key string, operator metav1.LabelSelectorOperator) spec {
		return spec{Windows: always, PipelineSelector: selector(key, operator)}
	}
	windows := func(all ...sluicev1.Window) spec { return spec{Windows: all} }
	whole := func(kind sluicev1.WindowKind, name string) sluicev1.Window {
		return sluicev1.Window{Name: name, Kind: kind, Cron: "0 0 * * *", Duration: &metav1.Duration{Duration: 24 * time.Hour}}
	}
	past, allow, deny := between(sluicev1.WindowDeny, "past", -6, -5), sluicev1.WindowAllow, sluicev1.WindowDeny
	const wrong, frozen, open = "False", "True, frozen", "True, open"
	const named, here = `spec.windows: invalid window "nightly": `, "2026-03-02T"
	for name, tc := range map[string]struct {
		spec     spec
		is, says string
	}{
		"a cron of four fields":    {cron("0 22 * *"), wrong, named + `cron: "0 22 * *" has 4 fields, and not the 5 of minute`},
		"a cron of words":          {cron("at night of each day"), wrong, named + `cron: the minute of "at night of each day" cannot be "at"`},
		"an hour that is none":     {cron("0 24 * * *"), wrong, named + `cron: the hour of "0 24 * * *" cannot be "24"`},
		"a Sunday that is seven":   {cron("0 22 * * 7"), wrong, named + `cron: the day of the week of "0 22 * * 7" cannot be "7"`},
		"a day that never comes":   {cron("0 22 30 2 *"), wrong, named + "its cron never comes: correct its day"},
		"a zone in front of cron":  {cron("TZ=Asia/Tokyo 0 22 * * *"), wrong, named + "cron: the zone has a field of its own"},
		"a zone and no cron":       {cron("TZ=0"), wrong, named + "cron: the zone has a field of its own: name it in timeZone"},
		"a zone that there is not": {zone("Europe/Zuerich"), wrong, "unknown time zone Europe/Zuerich: name one of the IANA's, such as "},
		"a zone in another case":   {zone("europe/zurich"), wrong, named + "timeZone: unknown time zone europe/zurich"},
		"a zone that is an offset": {zone("+01:00"), wrong, named + "timeZone: unknown time zone +01:00"},
		"a zone that is a path":    {zone("../../etc/passwd"), wrong, named + "timeZone: time: invalid location name"},
		"the zone of some machine": {zone("Local"), wrong, named + "the time zone Local is that of some machine"},
		"times the wrong way round": {
			windows(between(deny, "nightly", 2, 1)), wrong, named + "it needs a cron, or a from that is before its to",
		},
		"the second of two windows":    {windows(past, cron("*").Windows[0]), wrong, named},
		"an operator that there is no": {pipelines("tier", "Near"), wrong, `spec.pipelineSelector: "Near" is not a valid`},
		"an operator without values": {
			spec{Windows: always, NamespaceSelector: selector("tier", metav1.LabelSelectorOpIn)}, wrong, "spec.namespaceSelector: ",
		},
		"a label that is none": {pipelines("a b", metav1.LabelSelectorOpExists), wrong, "spec.pipelineSelector: "},
		"a stage that no pipeline has": {
			spec{Windows: always, Stages: []string{"production", "prodution"}}, frozen,
			"until " + here + "14:00:00Z; no pipeline that is selected has a stage prodution: correct the name in spec.stages",
		},
		"windows that overlap are one": {windows(always[0], between(deny, "rest", 1, 8)), frozen, "by window incident, until " + here + "20"},
		"an Allow window that a Deny window covers": {
			windows(whole(allow, "all"), whole(deny, "shut")), frozen,
			"in force by window shut, without an end: its windows leave no time between them",
		},
		"an Allow window that a Deny window cuts": {
			windows(whole(allow, "all"), between(deny, "lunch", 0, 1)), frozen, "in force by window lunch, until " + here + "13:00:00Z",
		},
		"Allow windows that overlap": {
			windows(between(allow, "day", -1, 2), between(allow, "late", 1, 8)), open, "not in force, from " + here + "20:00:00Z",
		},
	} {
		t.Run(name, func(t *testing.T) {
			scheme, err := kinds.Scheme()
			if err != nil {
				t.Fatal(err)
			}
			f := &sluicev1.Freeze{ObjectMeta: metav1.ObjectMeta{Name: "f", Generation: 3}, Spec: tc.spec}
			c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(f, pipeline("shop", "api", "gold")).WithStatusSubresource(f).Build()
			clock := testclock.NewFakePassiveClock(noon)
			run := reconciler.New(c, c, kind, &Reconciler{Client: c, Live: c, Clock: clock},
				reconciler.Options{Clock: clock, Recorder: noEvents{}})
			_, err = run.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(f)})
			if (tc.is == wrong) != (err != nil) || err != nil && !errors.Is(err, reconcile.TerminalError(nil)) {
				t.Errorf("the run says %v", err)
			}
			if err := c.Get(t.Context(), client.ObjectKeyFromObject(f), f); err != nil {
				t.Fatal(err)
			}
			ready := apimeta.FindStatusCondition(f.Status.Conditions, meta.ReadyCondition)
			if ready == nil || !strings.Contains(ready.Message, tc.says) || !strings.HasPrefix(tc.is, string(ready.Status)) {
				t.Errorf("Ready is %+v, want %s: %q", ready, tc.is, tc.says)
			}
			stalled := apimeta.FindStatusCondition(f.Status.Conditions, meta.StalledCondition)
			if (tc.is == wrong) != (stalled != nil) || stalled != nil && stalled.Reason != sluicev1.InvalidSpecReason {
				t.Errorf("Stalled is %+v", stalled)
			}
			if f.Status.Active != (tc.is != open) || f.Status.Pipelines != 1 || f.Status.ObservedGeneration != 3 {
				t.Errorf("the status is %+v", f.Status)
			}
		})
	}
}

func TestWhichFreezesAreWoken(t *testing.T) {
	scheme, err := kinds.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	freeze := func(name string, namespaces *metav1.LabelSelector) client.Object {
		return &sluicev1.Freeze{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: sluicev1.FreezeSpec{NamespaceSelector: namespaces}}
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(freeze("all", nil), freeze("live", &metav1.LabelSelector{})).Build()
	r := &Reconciler{Client: c}
	for name, tc := range map[string]struct {
		woken []reconcile.Request
		want  []string
	}{
		"by a pipeline":            {r.freezes(t.Context(), pipeline("shop", "api", "gold")), []string{"/all", "/live"}},
		"by labels of a namespace": {r.freezesByNamespace(t.Context(), &corev1.Namespace{}), []string{"/live"}},
	} {
		var got []string
		for _, request := range tc.woken {
			got = append(got, request.String())
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// A freeze that cannot count its pipelines does not say that it selects none.
func TestAnAPIServerThatIsAwayIsNoEmptyCluster(t *testing.T) {
	away := errors.New("the API server is away")
	selected := sluicev1.FreezeSpec{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"env": "live"}}}
	for name, tc := range map[string]struct {
		list client.ObjectList
		spec sluicev1.FreezeSpec
	}{
		"listing namespaces": {&corev1.NamespaceList{}, selected},
		"listing pipelines":  {&sluicev1.PipelineList{}, sluicev1.FreezeSpec{}},
	} {
		t.Run(name, func(t *testing.T) {
			scheme, err := kinds.Scheme()
			if err != nil {
				t.Fatal(err)
			}
			c := fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(interceptor.Funcs{
				List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
					if reflect.TypeOf(list) == reflect.TypeOf(tc.list) {
						return away
					}
					return c.List(ctx, list, opts...)
				},
			}).Build()
			r := &Reconciler{Client: c, Live: c, Clock: testclock.NewFakePassiveClock(noon)}
			f := &sluicev1.Freeze{ObjectMeta: metav1.ObjectMeta{Name: "f"}, Spec: tc.spec}
			f.Status.Pipelines = 3
			_, err = r.Reconcile(t.Context(), f)
			if !errors.Is(err, away) || !strings.Contains(err.Error(), name) || f.Status.Pipelines != 3 || r.Reason(err) != meta.FailedReason {
				t.Errorf("got %v, and the status %+v", err, f.Status)
			}
		})
	}
}

// While no pipeline is selected it cannot be said that a name is misspelt.
func TestAStageOfNoPipelineIsNamedOnlyIfThereAreAny(t *testing.T) {
	f := &sluicev1.Freeze{}
	if got := message(f, []string{"prodution"}); strings.Contains(got, "prodution") {
		t.Errorf("it says %q", got)
	}
	f.Status.Pipelines = 1
	if got := message(f, []string{"prodution"}); !strings.Contains(got, "has a stage prodution: correct the name") {
		t.Errorf("it says %q", got)
	}
}
