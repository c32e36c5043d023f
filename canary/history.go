package canary

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// openRelease is the release under way in the history; nil is none.
func (t *turn) openRelease() *flaggerv1.CanaryRelease {
	if len(t.State.History) == 0 || !t.State.History[0].EndedAt.IsZero() {
		return nil
	}
	return &t.State.History[0]
}

// begun opens a release for the target's revision. One that is open for this one
// goes on; one that was open for another ends, with what a person said about it.
func (t *turn) begun() {
	if open := t.openRelease(); open != nil {
		if open.Revision == t.Target.Revision {
			return
		}
		t.close(flaggerv1.VerdictSuperseded, "another revision came")
		t.State.Hold = nil
	}
	t.openFor(t.Target.Revision)
}

func (t *turn) openFor(revision string) {
	release := flaggerv1.CanaryRelease{Revision: revision, StartedAt: metav1.NewTime(t.now)}
	if revision == t.Target.Revision {
		release.Images = t.Target.Images
	}
	t.State.History = slices.Insert(t.State.History, 0, release)
	t.State.History = t.State.History[:min(len(t.State.History), flaggerv1.MaxReleases)]
}

// release is the one under way. One that began before there was a history, under
// Flagger, begins now.
func (t *turn) release() *flaggerv1.CanaryRelease {
	if t.openRelease() == nil {
		t.openFor(t.State.Applied)
	}
	return t.openRelease()
}

// close ends the release under way. Whoever commanded its promotion decided only
// if that came about.
func (t *turn) close(verdict, reason string) {
	release := t.release()
	release.Verdict, release.EndedAt = verdict, metav1.NewTime(t.now)
	if release.Reason != promotionCommanded || verdict != flaggerv1.VerdictPromoted {
		release.Reason, release.By = reason, ""
	}
}

// withdrawn ends a release that waited to begin, because its revision is gone.
func (t *turn) withdrawn() {
	t.State.Hold = nil
	if t.openRelease() != nil {
		t.close(flaggerv1.VerdictReverted, wentBack)
	}
}

// wentBack is why a release ends without a verdict on its revision.
const wentBack = "Git went back to what users have"

// entered notes a stage.
func (t *turn) entered(s Step) {
	release := t.release()
	release.Steps = append(release.Steps, flaggerv1.CanaryStep{
		Weight: s.Weight, Iteration: s.Iteration, Mirror: s.Mirror, At: metav1.NewTime(t.now),
	})
	if extra := len(release.Steps) - flaggerv1.MaxSteps; extra > 0 {
		release.Steps = slices.Delete(release.Steps, 0, extra)
	}
}

// checked notes what a check measured.
func (t *turn) checked(failures []string) {
	release := t.release()
	if len(release.Steps) == 0 {
		t.entered(Step{Weight: t.State.Weight, Iteration: t.State.Iterations})
	}
	last := &release.Steps[len(release.Steps)-1]
	last.Measured = nil
	for i, m := range t.Measured[:min(len(t.Measured), flaggerv1.MaxSteps)] {
		noted := flaggerv1.CanaryMeasurement{Name: m.Name, Failure: failures[i]}
		if !m.NoValues && m.Err == "" {
			noted.Value = &t.Measured[i].Value
		}
		last.Measured = append(last.Measured, noted)
	}
}

// failedCheck counts a failed check in the history's last step.
func (t *turn) failedCheck() {
	if release := t.release(); len(release.Steps) > 0 {
		release.Steps[len(release.Steps)-1].FailedChecks++
	}
}

// copyHistory keeps what was seen from being changed.
func copyHistory(from []flaggerv1.CanaryRelease) []flaggerv1.CanaryRelease {
	to := slices.Clone(from)
	for i := range to {
		to[i] = *to[i].DeepCopy()
	}
	return to
}
