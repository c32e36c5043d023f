// SPDX-License-Identifier: Apache-2.0

package decide

import "testing"

func TestPrunable(t *testing.T) {
	ours := kustomizations.Labels(owner)
	tests := map[string]struct {
		labels, annotations map[string]string
		want                string // why not; empty is prunable
	}{
		"our own": {labels: ours},
		"another owner's": {
			labels: kustomizations.Labels(other),
			want:   "it has the labels of Kustomization " + other.Namespace + "/" + other.Name,
		},
		"nobody's": {
			want: "it lacks the labels kustomize.toolkit.fluxcd.io/name and kustomize.toolkit.fluxcd.io/namespace of its owner",
		},
		"our own that is to be kept": {
			labels:      ours,
			annotations: map[string]string{kustomizations.PruneKey: "Disabled"},
			want:        "kustomize.toolkit.fluxcd.io/prune: disabled",
		},
		"our own that is left alone": {
			labels:      ours,
			annotations: map[string]string{kustomizations.ReconcileKey: "disabled"},
			want:        "kustomize.toolkit.fluxcd.io/reconcile: disabled",
		},
		"our own that is ignored": {
			labels:      ours,
			annotations: map[string]string{kustomizations.SSAKey: Ignore},
			want:        "kustomize.toolkit.fluxcd.io/ssa: Ignore",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if why, ok := kustomizations.Prunable(tc.labels, tc.annotations, owner); why != tc.want || ok != (tc.want == "") {
				t.Errorf("Prunable = %q, %v, want %q", why, ok, tc.want)
			}
		})
	}
}
