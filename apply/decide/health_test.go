// SPDX-License-Identifier: Apache-2.0

package decide

import (
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestWhatEndsTheWaitForAnObject(t *testing.T) {
	seen := func(version string, s status.Status) *LiveObject {
		return &LiveObject{ObjectMeta: metav1.ObjectMeta{ResourceVersion: version}, Status: s}
	}
	tests := map[string]struct {
		awaited          Awaited
		seen             *LiveObject
		freshness        Freshness
		resolved, failed bool
	}{
		"it is healthy": {Awaited{ResourceVersion: "7"}, seen("8", status.CurrentStatus), Fresh, true, false},
		"it was healthy at the version asked for": {Awaited{ResourceVersion: "7"}, seen("7", status.CurrentStatus), Fresh, true, false},
		"older news is no news":                   {Awaited{ResourceVersion: "7"}, seen("6", status.CurrentStatus), Fresh, false, false},
		"nor is older news of a failure":          {Awaited{ResourceVersion: "7"}, seen("6", status.FailedStatus), Fresh, false, false},
		"it was not there, and is healthy":        {Awaited{}, seen("1", status.CurrentStatus), Fresh, true, false},
		"it is still in progress":                 {Awaited{ResourceVersion: "7"}, seen("8", status.InProgressStatus), Fresh, false, false},
		"it has failed":                           {Awaited{ResourceVersion: "7"}, seen("8", status.FailedStatus), Fresh, false, true},
		"the failure is known": {
			Awaited{ResourceVersion: "7", Failed: true}, seen("8", status.FailedStatus), Fresh, false, false,
		},
		"it recovers from a known failure": {
			Awaited{ResourceVersion: "7", Failed: true}, seen("8", status.CurrentStatus), Fresh, true, false,
		},
		"the informer has not caught up":          {Awaited{ResourceVersion: "7"}, seen("8", status.CurrentStatus), Stale, false, false},
		"nor when it has failed":                  {Awaited{ResourceVersion: "7"}, seen("8", status.FailedStatus), Stale, false, false},
		"it is to go and is gone":                 {Awaited{Gone: true}, nil, Missing, true, false},
		"it is to go and is there":                {Awaited{Gone: true}, seen("8", status.CurrentStatus), Fresh, false, false},
		"it is to go, and its failure is no news": {Awaited{Gone: true}, seen("8", status.FailedStatus), Fresh, false, false},
		"it is not there yet":                     {Awaited{}, nil, Missing, false, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tc.awaited.ResolvedBy(tc.seen, tc.freshness); got != tc.resolved {
				t.Errorf("resolved: %v", got)
			}
			if got := tc.awaited.FailedBy(tc.seen, tc.freshness); got != tc.failed {
				t.Errorf("failed: %v", got)
			}
		})
	}
}

func TestTheVersionThatAnObjectWasLeftAt(t *testing.T) {
	left := &Applied{Left: &LiveObject{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "7"}}}
	for _, tc := range []struct {
		applied *Applied
		want    string
	}{{nil, ""}, {&Applied{}, ""}, {left, "7"}} {
		if got := tc.applied.Version(); got != tc.want {
			t.Errorf("got %q, want %q", got, tc.want)
		}
	}
}

func TestHowAnObjectWantsToBeTreated(t *testing.T) {
	profile := NewProfile(schema.GroupKind{Group: "example.com", Kind: "Owner"}, "owner")
	ttl := map[string]any{"ttlSecondsAfterFinished": int64(60)}
	tests := map[string]struct {
		kind        string
		annotations map[string]string
		spec        map[string]any
		want        Treatment
		recreate    bool
	}{
		"as it is":              {kind: "Job"},
		"a job that is deleted": {kind: "Job", spec: ttl, want: Treatment{Expires: true}},
		"only jobs are":         {kind: "Task", spec: ttl},
		"if it is not there":    {annotations: map[string]string{profile.SSAKey: "IfNotPresent"}, want: Treatment{IfNotPresent: true}},
		"beside others":         {annotations: map[string]string{profile.SSAKey: "merge"}, want: Treatment{Merge: true}},
		"not at all":            {annotations: map[string]string{profile.ReconcileKey: "disabled"}, want: Treatment{Excluded: true}},
		"it may be recreated":   {annotations: map[string]string{profile.ForceKey: "Enabled"}, recreate: true},
		"it may not be":         {annotations: map[string]string{profile.ForceKey: "disabled"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			u := &unstructured.Unstructured{Object: map[string]any{"kind": tc.kind, "spec": tc.spec}}
			u.SetAnnotations(tc.annotations)
			if diff := cmp.Diff(tc.want, profile.TreatmentOf(u)); diff != "" {
				t.Errorf("TreatmentOf (-want +got):\n%s", diff)
			}
			if got := profile.MayRecreate(nil, tc.annotations); got != tc.recreate {
				t.Errorf("may be recreated: %v", got)
			}
			if got := profile.MayRecreate(tc.annotations, nil); got != tc.recreate {
				t.Errorf("by a label it may be recreated: %v", got)
			}
		})
	}
}
