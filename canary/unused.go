package canary

import flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"

// unused are notes about fields that mean nothing beside others. Flagger accepts
// them without a word, and so do manifests that were written for it; their owner is
// told with each release.
func unused(a *flaggerv1.CanaryAnalysis) []string {
	var notes []string
	for _, field := range []struct {
		note string
		set  bool
	}{
		{"spec.analysis.mirror: has no meaning in an A/B release, whose users are chosen; nothing is mirrored", a.Mirror && a.Iterations > 0 && len(a.Match) > 0},
		{"spec.analysis.mirrorWeight: has no meaning without mirror; nothing is mirrored", a.MirrorWeight > 0 && !a.Mirror},
		{"spec.analysis.maxWeight: has no meaning beside iterations, which move nobody step by step", a.MaxWeight > 0 && a.Iterations > 0},
		{"spec.analysis.maxWeight: has no meaning beside stepWeights, the last of which is the most", a.MaxWeight > 0 && len(a.StepWeights) > 0},
	} {
		if field.set {
			notes = append(notes, field.note)
		}
	}
	return notes
}
