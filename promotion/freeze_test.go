// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"errors"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

func TestWhenAFreezeFreezes(t *testing.T) {
	hour := func(n int) time.Time { return time.Unix(1_700_000_000, 0).Add(time.Duration(n) * time.Hour) }
	window := func(name string, kind sluicev1.WindowKind, from, to int, scopes ...sluicev1.WindowScope) sluicev1.Window {
		start, end := metav1.NewTime(hour(from)), metav1.NewTime(hour(to))
		return sluicev1.Window{Name: name, Kind: kind, From: &start, To: &end, AppliesTo: scopes}
	}
	tests := map[string]struct {
		windows   []sluicev1.Window
		active    bool
		window    string
		changes   int // in hours; 0 is never
		lookAgain int
	}{
		"without windows": {},
		"before it":       {windows: []sluicev1.Window{window("w", sluicev1.WindowDeny, 2, 4)}, changes: 2, lookAgain: 2},
		"during it": {
			windows: []sluicev1.Window{window("w", sluicev1.WindowDeny, -2, 4)}, active: true, window: "w", changes: 4,
			lookAgain: 4,
		},
		"after it": {windows: []sluicev1.Window{window("w", sluicev1.WindowDeny, -4, -2)}},
		"of rollbacks alone": {
			windows: []sluicev1.Window{window("w", sluicev1.WindowDeny, -2, 4, sluicev1.WindowRollsBack)}, active: true,
			window: "w", changes: 4, lookAgain: 4,
		},
		"of promotions before both": {
			windows: []sluicev1.Window{window("r", sluicev1.WindowDeny, -2, 4, sluicev1.WindowRollsBack), window("p", sluicev1.WindowDeny, -2, 6)},
			active:  true, window: "p", changes: 6, lookAgain: 4,
		},
		"two that follow each other": {
			windows: []sluicev1.Window{window("a", sluicev1.WindowDeny, -2, 4), window("b", sluicev1.WindowDeny, 4, 6)},
			active:  true, window: "a", changes: 6, lookAgain: 4,
		},
		"two that overlap": {
			windows: []sluicev1.Window{window("a", sluicev1.WindowDeny, -2, 4), window("b", sluicev1.WindowDeny, 3, 6)},
			active:  true, window: "a", changes: 6, lookAgain: 3,
		},
		"but for a window": {
			windows: []sluicev1.Window{window("w", sluicev1.WindowAllow, 2, 4)}, active: true, window: "w", changes: 2,
			lookAgain: 2,
		},
		"in the window that it has": {windows: []sluicev1.Window{window("w", sluicev1.WindowAllow, -2, 4)}, changes: 4, lookAgain: 4},
		"for ever":                  {windows: []sluicev1.Window{window("w", sluicev1.WindowAllow, -4, -2)}, active: true, window: "w"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			calendar, err := ParseCalendar(tc.windows)
			if err != nil {
				t.Fatal(err)
			}
			at := func(n int) time.Time {
				if n == 0 {
					return time.Time{}
				}
				return hour(n)
			}
			got := calendar.Freezes(hour(0))
			if got.Active != tc.active || got.Window != tc.window || !got.Changes.Equal(at(tc.changes)) || !got.NextChange.Equal(at(tc.lookAgain)) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestWhichPipelinesAFreezeIsAbout(t *testing.T) {
	labelled := func(key, value string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{key: value}}
	}
	trouble := errors.New("the API server has trouble")
	tests := map[string]struct {
		pipelines, namespaces *metav1.LabelSelector
		pipeline, namespace   map[string]string
		err                   error // of reading the namespace
		want, asks            bool
	}{
		"all":                 {want: true},
		"one with the label":  {pipelines: labelled("team", "shop"), pipeline: map[string]string{"team": "shop"}, want: true},
		"one of another team": {pipelines: labelled("team", "shop"), pipeline: map[string]string{"team": "bank"}},
		"one of a namespace": {
			namespaces: labelled("tier", "production"), namespace: map[string]string{"tier": "production"}, want: true,
			asks: true,
		},
		"one of another namespace":         {namespaces: labelled("tier", "production"), asks: true},
		"one whose namespace is not known": {namespaces: labelled("tier", "production"), err: trouble, asks: true},
		"one of neither": {
			pipelines: labelled("team", "shop"), namespaces: labelled("tier", "production"), namespace: map[string]string{"tier": "production"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			selector, err := ParseFreezeSelector(&sluicev1.FreezeSpec{PipelineSelector: tc.pipelines, NamespaceSelector: tc.namespaces})
			if err != nil {
				t.Fatal(err)
			}
			asked := false
			got, err := selector.Selects(tc.pipeline, func() (map[string]string, error) { asked = true; return tc.namespace, tc.err })
			if got != tc.want || !errors.Is(err, tc.err) || asked != tc.asks || selector.AsksNamespaces() != (tc.namespaces != nil) {
				t.Errorf("selected %v, asked %v, %v", got, asked, err)
			}
		})
	}
}

// A freeze that is wrong must not be one that does nothing.
func TestASelectorThatCannotBeUnderstoodSelectsEverything(t *testing.T) {
	wrong := &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "?"}}}
	selector, err := ParseFreezeSelector(&sluicev1.FreezeSpec{PipelineSelector: wrong, NamespaceSelector: wrong})
	if !errors.Is(err, ErrSelector) || !strings.Contains(err.Error(), "spec.pipelineSelector") ||
		!strings.Contains(err.Error(), "spec.namespaceSelector") {
		t.Errorf("got %v", err)
	}
	if all, err := selector.Selects(nil, nil); !all || err != nil {
		t.Errorf("selects %v, %v", all, err)
	}
}

func TestForHowLongNobodyCouldTell(t *testing.T) {
	at := func(minutes int) time.Time {
		return time.Unix(1_700_000_000, 0).Add(time.Duration(minutes) * time.Minute)
	}
	l := Measurements{Begun: at(0)}
	l = l.With(Measurement{State: VerificationUnknown}, at(2))
	l = l.With(Measurement{State: VerificationPassed}, at(3))
	l = l.With(Measurement{State: VerificationUnknown}, at(7))
	if l.Lost != 6*time.Minute || l.Good != 1 || !l.Asked.Equal(at(7)) {
		t.Errorf("got %+v", l)
	}
}
