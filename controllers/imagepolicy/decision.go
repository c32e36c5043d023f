// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/policy"
)

const (
	// bestListed candidates are in the status in any case, and maxListed at most.
	bestListed, maxListed = 5, 20
)

// evidence is the decision as the status has it. Nothing in it changes while tags
// and results stay the same, so that a look without news writes nothing.
func evidence(in *inputs, out *searchResult) *imagev1.Decision {
	d := &imagev1.Decision{
		Rule: out.decision.Rule, Total: out.decision.Total, Qualified: out.decision.Qualified(),
		NextMaturity: timeOf(out.maturity), Unchecked: out.unchecked(),
	}
	for _, drop := range out.decision.Dropped() {
		d.Dropped = append(d.Dropped, imagev1.DroppedTags{Rule: drop.Reason, Count: drop.Count, Example: strings.Clone(drop.Example)})
	}
	for i, r := range out.ranked {
		switch {
		case i < len(out.checked) && (i < maxListed-1 || out.isChosen(i)):
			d.Candidates = append(d.Candidates, out.checked[i].status())
		case i >= len(out.checked) && i < bestListed:
			d.Candidates = append(d.Candidates, imagev1.Candidate{Tag: strings.Clone(r.Tag)})
		}
	}
	for i := range d.Candidates {
		if c := &d.Candidates[i]; c.FirstSeen == nil && c.Digest == "" {
			c.FirstSeen = timeOf(in.firstSeen(c.Tag))
		}
	}
	return d
}

// firstSeen is when a scan first found a tag, as the status remembers it if the store has lost it. It says nothing of a digest.
func (in *inputs) firstSeen(tag string) time.Time {
	first, status := in.tags.FirstSeen(tag), in.policy.Status
	if status.Decision == nil || in.isStatusOfAnotherImage() {
		return first
	}
	for _, known := range status.Decision.Candidates {
		if known.Tag == tag && known.Digest == "" && known.FirstSeen != nil {
			first = earlier(first, known.FirstSeen.Time)
		}
	}
	return first
}

// isChosen reports whether the candidate of a rank, which is the last that was checked
// then, is the choice.
func (out *searchResult) isChosen(i int) bool { return out.chosen != nil && i == len(out.checked)-1 }

func (c *checkedCandidate) status() imagev1.Candidate {
	return imagev1.Candidate{Tag: c.tag, Digest: c.digest, FirstSeen: timeOf(c.firstSeen), Dropped: c.dropped, Gate: string(c.gate)}
}

// unchecked is the number of qualified tags that were led through no gate although
// nothing was chosen.
func (out *searchResult) unchecked() int {
	if out.chosen != nil {
		return 0
	}
	return out.decision.Qualified()
}

// rejectionReason is why a tag was not chosen, as the end of a sentence; it is empty
// for one that qualifies.
func rejectionReason(in *inputs, out *searchResult, tag string) string {
	if in.tags.FirstSeen(tag).IsZero() {
		return fmt.Sprintf("not a tag of %s, or excluded", in.repo.Spec.Image)
	}
	for _, c := range out.checked {
		if c.tag == tag {
			return c.dropped
		}
	}
	for _, line := range in.compiled.Explain(slices.Values([]string{tag})) {
		return line.Why
	}
	return ""
}

// explain says in one line how the choice was made, and what became of the one
// before it: a step down must not come without a word.
func explain(in *inputs, out *searchResult) string {
	said := out.decision.Why()
	if pin := in.compiled.Pin(); pin != nil {
		said = pinned(pin)
	}
	if out.chosen.signer != "" {
		said += "; " + out.chosen.signer
	}
	last := in.latestRef()
	if last == nil || last.Tag == out.chosen.tag {
		return said
	}
	if why := rejectionReason(in, out, last.Tag); why != "" {
		said += fmt.Sprintf("; %s: %s", last.Tag, why)
	}
	return said
}

func pinned(pin *imagev1.Pin) string {
	said := "pinned by spec.pin"
	if pin.Reason != "" {
		said += ": " + pin.Reason
	}
	if pin.Until != nil {
		said += fmt.Sprintf(" (until %s)", pin.Until.UTC().Format(time.RFC3339))
	}
	return said
}

// stillQualifies reports whether the last choice is one that the tags still allow.
func stillQualifies(in *inputs, out *searchResult) bool {
	tag := in.policy.Status.LatestRef.Tag
	return rejectionReason(in, out, tag) == "" && in.compiled.Select(slices.Values([]string{tag})).Tag != ""
}

// noMatch says why nothing was chosen.
func noMatch(in *inputs, out *searchResult) error {
	why := out.decision
	why.Tag = ""
	said := why.Why()
	if pin := in.compiled.Pin(); pin != nil {
		if rejected := rejectionReason(in, out, pin.Tag); rejected != "" {
			said = fmt.Sprintf("spec.pin.tag %s: %s", pin.Tag, rejected)
		}
	}
	if left := out.unchecked(); left > 0 {
		said += fmt.Sprintf("; the other %d were not looked at", left)
	}
	for _, drop := range why.Dropped() {
		if drop.Gate == policy.GateVerify {
			return fmt.Errorf("%w: %s", errUnverified, said)
		}
	}
	return fmt.Errorf("%w: %s", errNoMatch, said)
}

// timeOf is at for a status, where zero is nil. Fractions of a second are cut off
// there, which must not make a time look passed that is not.
func timeOf(at time.Time) *metav1.Time {
	if at.IsZero() {
		return nil
	}
	rounded := at.Truncate(time.Second)
	if rounded.Before(at) {
		rounded = rounded.Add(time.Second)
	}
	return &metav1.Time{Time: rounded}
}
