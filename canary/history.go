// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// History has the last releases, the newest first. Only the first may be under way;
// it has no end. A history is never changed: each method returns another one.
type History []flaggerv1.CanaryRelease

// wentBack is why a release ends without a verdict on its revision.
const wentBack = "Git went back to what users have"

// underWay reports whether the first release has not ended.
func (h History) underWay() bool { return len(h) > 0 && h[0].EndedAt.IsZero() }

// current is the release under way. Without one it has no revision.
func (h History) current() flaggerv1.CanaryRelease {
	if !h.underWay() {
		return flaggerv1.CanaryRelease{}
	}
	return h[0]
}

// precedingEnd is when the release before the newest had lost its users; zero if there was none. The status has
// whole seconds, so that it may have been up to a second later than it says.
func (h History) precedingEnd() time.Time {
	if len(h) < 2 || h[1].EndedAt.IsZero() {
		return time.Time{}
	}
	return h[1].EndedAt.Add(time.Second)
}

// withRelease is the history with one more release under way.
func (h History) withRelease(revision string, images []string, now time.Time) History {
	release := flaggerv1.CanaryRelease{Revision: revision, StartedAt: metav1.NewTime(now), Images: images}
	all := slices.Concat(History{release}, h)
	return all[:min(len(all), flaggerv1.MaxReleases)]
}

// edit changes a copy of the newest release.
func (h History) edit(change func(*flaggerv1.CanaryRelease)) History {
	edited := slices.Clone(h)
	edited[0] = *h[0].DeepCopy()
	change(&edited[0])
	return edited
}

// withVerdict ends the release under way. If a person commanded its promotion, that remains
// its reason, but only if the promotion came about.
func (h History) withVerdict(verdict, reason string, now time.Time) History {
	return h.edit(func(r *flaggerv1.CanaryRelease) {
		r.Verdict, r.EndedAt, r.HeldSince = verdict, metav1.NewTime(now), metav1.Time{}
		if r.Reason != promotionCommanded || verdict != flaggerv1.VerdictPromoted {
			r.Reason, r.By = reason, ""
		}
	})
}

// enter records that the release under way entered a step.
func (h History) enter(step Step, now time.Time) History {
	return h.edit(func(r *flaggerv1.CanaryRelease) {
		r.Steps = append(r.Steps, flaggerv1.CanaryStep{
			Weight: step.Weight, Iteration: step.Iteration, Mirror: step.Mirror, At: metav1.NewTime(now),
		})
		if extra := len(r.Steps) - flaggerv1.MaxSteps; extra > 0 {
			r.Steps = slices.Delete(r.Steps, 0, extra)
		}
	})
}

// measure records what a check measured in the last step; failures has an entry for
// each measurement, and is empty for a good one.
func (h History) measure(measured []Measurement, failures []string) History {
	return h.edit(func(r *flaggerv1.CanaryRelease) {
		last := &r.Steps[len(r.Steps)-1]
		last.Measured = nil
		for i, m := range measured[:min(len(measured), flaggerv1.MaxSteps)] {
			recorded := flaggerv1.CanaryMeasurement{Name: m.Name, Failure: failures[i]}
			if !m.NoValues && m.Err == "" {
				recorded.Value = &measured[i].Value
			}
			last.Measured = append(last.Measured, recorded)
		}
	})
}

// failCheck counts a failed check in the last step, if there was one yet.
func (h History) failCheck() History {
	return h.edit(func(r *flaggerv1.CanaryRelease) {
		if n := len(r.Steps); n > 0 {
			r.Steps[n-1].FailedChecks++
		}
	})
}

// lastFailure is why the newest release failed; empty if it did not.
func (h History) lastFailure() string {
	if len(h) == 0 || h[0].Verdict != flaggerv1.VerdictFailed {
		return ""
	}
	return h[0].Reason
}

// firstUse returns when the revision under analysis was first in use, and when
// another one last was; false if there is no such other.
func (h History) firstUse() (since, other time.Time, ok bool) {
	if len(h) < 2 || !h.underWay() || len(h[0].Steps) == 0 {
		return time.Time{}, time.Time{}, false
	}
	for _, earlier := range h[1:] {
		if len(earlier.Steps) > 0 {
			return h[0].Steps[0].At.Time, earlier.EndedAt.Time, true
		}
	}
	return time.Time{}, time.Time{}, false
}

// withRelease is the state with a release under way. One that Flagger began has no
// history yet, and begins now.
func withRelease(t transition) State {
	s := t.prev
	if !s.History.underWay() {
		s.History = s.History.withRelease(s.Applied, imagesOf(t, s.Applied), t.now)
	}
	return s
}

// withNewRelease is the state with a release of the target's revision under way. One
// that was under way for another revision ends, with what a person said about it.
func withNewRelease(t transition) State {
	s, revision := t.prev, t.seen.Target.Revision
	if s.History.underWay() {
		if s.History[0].Revision == revision {
			return s
		}
		s.History = s.History.withVerdict(flaggerv1.VerdictSuperseded, "another revision came", t.now)
		s.Hold = nil
	}
	s.History = s.History.withRelease(revision, t.seen.Target.Images, t.now)
	return s
}

// imagesOf are the images of a revision, if it is the target's.
func imagesOf(t transition, revision string) []string {
	if revision != t.seen.Target.Revision {
		return nil
	}
	return t.seen.Target.Images
}
