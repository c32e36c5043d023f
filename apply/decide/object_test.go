// SPDX-License-Identifier: Apache-2.0

package decide

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// The profile of the owners in tests, and two of them.
var (
	kustomizations = NewProfile(schema.GroupKind{Group: "kustomize.toolkit.fluxcd.io", Kind: "Kustomization"}, "kustomize-controller")
	owner          = kustomizations.Owner("ns", "app")
	other          = kustomizations.Owner("ns", "other")
)

func TestDrift(t *testing.T) {
	seen := func(change func(*LiveObject)) *LiveObject {
		o := &LiveObject{FieldHash: "ours", ObjectMeta: metav1.ObjectMeta{Labels: kustomizations.Labels(owner)}}
		if change != nil {
			change(o)
		}
		return o
	}
	annotated := func(key, value string) *LiveObject {
		return seen(func(o *LiveObject) { o.FieldHash, o.Annotations = "changed", map[string]string{key: value} })
	}
	former := seen(func(o *LiveObject) { o.FormerHash = "kubectl-edit" })
	foreign := seen(func(o *LiveObject) { o.Labels = nil })
	tests := map[string]struct {
		left      Applied
		freshness Freshness
		seen      *LiveObject
		want      Drift
	}{
		"nothing happened": {freshness: Fresh, seen: seen(nil), want: NoDrift},
		"a field was changed": {
			freshness: Fresh,
			seen:      seen(func(o *LiveObject) { o.FieldHash = "less" }),
			want:      Drifted,
		},
		"a field was added with kubectl": {freshness: Fresh, seen: former, want: Drifted},
		"a field was added with kubectl where that may be": {
			left:      Applied{Treatment: Treatment{Merge: true}},
			freshness: Fresh,
			seen:      former,
			want:      NoDrift,
		},
		"a field that an admission webhook keeps adding": {left: Applied{Left: former}, freshness: Fresh, seen: former, want: NoDrift},
		"it was deleted": {freshness: Missing, want: Drifted},
		"a finished Job was cleaned up": {
			left:      Applied{Treatment: Treatment{Expires: true}},
			freshness: Missing,
			want:      NoDrift,
		},
		"it is not known yet what became of it": {freshness: Stale, want: NoDrift},
		"nobody may watch it":                   {freshness: Unknown, want: UnknownDrift},
		"it asks to be left alone from now on": {
			freshness: Fresh,
			seen:      annotated(kustomizations.ReconcileKey, Disabled),
			want:      NoDrift,
		},
		"it is ignored from now on": {
			freshness: Fresh,
			seen:      annotated(kustomizations.SSAKey, "Ignore"),
			want:      NoDrift,
		},
		"another Kustomization has it": {
			freshness: Fresh,
			seen:      seen(func(o *LiveObject) { o.FieldHash, o.Labels = "theirs", kustomizations.Labels(other) }),
			want:      UnknownDrift,
		},
		"one of its labels was taken": {
			freshness: Fresh,
			seen:      seen(func(o *LiveObject) { o.FieldHash = "less"; delete(o.Labels, kustomizations.NamespaceLabel) }),
			want:      Drifted,
		},
		"it asked to be left alone and does no more": {
			left:      Applied{Action: Skipped, Left: annotated(kustomizations.ReconcileKey, Disabled)},
			freshness: Fresh,
			seen:      seen(nil),
			want:      Drifted,
		},
		"it asks to be left alone, as before": {
			left:      Applied{Action: Skipped},
			freshness: Fresh,
			seen:      annotated(kustomizations.ReconcileKey, Disabled),
			want:      NoDrift,
		},
		"it is not ours and asked to be left alone": {
			left:      Applied{Action: Skipped, Left: foreign},
			freshness: Missing,
			want:      UnknownDrift,
		},
		"the source asks not to apply it": {
			left:      Applied{Action: Skipped, Treatment: Treatment{Excluded: true}},
			freshness: Fresh,
			seen:      seen(nil),
			want:      NoDrift,
		},
		"what need only be there was changed": {
			left:      Applied{Treatment: Treatment{IfNotPresent: true}},
			freshness: Fresh,
			seen:      annotated("a", "b"),
			want:      NoDrift,
		},
		"what need only be there, and we made it, was deleted": {
			left:      Applied{Treatment: Treatment{IfNotPresent: true}, Action: Skipped},
			freshness: Missing,
			want:      Drifted,
		},
		"what need only be there is another's": {
			left:      Applied{Treatment: Treatment{IfNotPresent: true}, Action: Skipped, Left: foreign},
			freshness: Missing,
			want:      UnknownDrift,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if tc.left.Left == nil {
				tc.left.Left = seen(nil)
			}
			if got := kustomizations.DriftOf(owner, &tc.left, tc.seen, tc.freshness); got != tc.want {
				t.Errorf("DriftOf = %d, want %d", got, tc.want)
			}
		})
	}
}
