// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion"
)

// Bundles are the bundles that the status of a Pipeline names: the newest one first, then those
// that landed last.
func Bundles(p *sluicev1.Pipeline) []sluicev1.Bundle {
	var known []sluicev1.Bundle
	landed := map[string]time.Time{}
	add := func(b *sluicev1.Bundle, at time.Time) {
		if b == nil {
			return
		}
		if _, is := landed[b.ID]; !is {
			known = append(known, *b)
		}
		if at.After(landed[b.ID]) || landed[b.ID].IsZero() {
			landed[b.ID] = at
		}
	}
	add(p.Status.Candidate, time.Time{})
	for _, s := range p.Status.Stages {
		add(s.Wants, time.Time{})
		add(s.Has, time.Time{})
		for i := range s.Landings {
			add(&s.Landings[i].Bundle, s.Landings[i].At.Time)
		}
	}
	for i := range p.Status.Quarantined {
		add(&p.Status.Quarantined[i].Bundle, time.Time{})
	}
	slices.SortStableFunc(known, func(a, b sluicev1.Bundle) int {
		newest := func(b sluicev1.Bundle) int {
			if c := p.Status.Candidate; c != nil && c.ID == b.ID {
				return 0
			}
			return 1
		}
		return cmp.Or(cmp.Compare(newest(a), newest(b)), landed[b.ID].Compare(landed[a.ID]))
	})
	return known
}

// Errors of [FindBundle], which say what is known instead.
var (
	ErrUnknownBundle   = errors.New("no such bundle")
	ErrAmbiguousBundle = errors.New("several bundles")
)

// shortestID is how many characters of an id name a bundle.
const shortestID = 4

// FindBundle is the bundle of a Pipeline that a person means by an id or the first
// characters of one, by a tag, or by `artifact=tag`, of which there may be several with
// commas between them. It fails with [ErrUnknownBundle] or [ErrAmbiguousBundle].
func FindBundle(p *sluicev1.Pipeline, means string) (sluicev1.Bundle, error) {
	known := Bundles(p)
	var found []sluicev1.Bundle
	for _, b := range known {
		if b.ID == means {
			return b, nil
		}
		if len(means) >= shortestID && strings.HasPrefix(b.ID, means) || hasTags(b, means) {
			found = append(found, b)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return sluicev1.Bundle{}, fmt.Errorf("%w as %q in the status of Pipeline %s/%s; known: %s",
			ErrUnknownBundle, means, p.Namespace, p.Name, listed(known))
	}
	return sluicev1.Bundle{}, fmt.Errorf("%w are meant by %q; name one by its id: %s", ErrAmbiguousBundle, means, listed(found))
}

// hasTags reports whether a bundle has a tag, or these tags of these artifacts.
func hasTags(b sluicev1.Bundle, means string) bool {
	for part := range strings.SplitSeq(means, ",") {
		artifact, tag, named := strings.Cut(strings.TrimSpace(part), "=")
		if !named {
			artifact, tag = "", artifact
		}
		if !slices.ContainsFunc(b.Versions, func(v sluicev1.Version) bool {
			return v.Tag == tag && tag != "" && (artifact == "" || artifact == v.Artifact)
		}) {
			return false
		}
	}
	return true
}

// listed names bundles for people who have to choose one.
func listed(bundles []sluicev1.Bundle) string {
	if len(bundles) == 0 {
		return "none"
	}
	var names []string
	for _, b := range bundles {
		names = append(names, NameBundle(b))
	}
	return strings.Join(names, ", ")
}

// NameBundle is a bundle with its id, as `api 1.4.2, web 1.4.2 (0123456789ab)`.
func NameBundle(b sluicev1.Bundle) string { return fmt.Sprintf("%s (%s)", promotion.Describe(b), b.ID) }

// Promotable is the bundle that a stage would be promoted to if nothing held it up: the
// one that it wants, or else the newest of the stages before it or, if there are none,
// the newest of all. It is nil if the stage has it.
func Promotable(p *sluicev1.Pipeline, stage string) *sluicev1.Bundle {
	s, spec := statusOf(p, stage), p.Spec.Stage(stage)
	found := s.Wants
	if found == nil && spec != nil && spec.After == nil {
		found = p.Status.Candidate
	}
	if found == nil && spec != nil && spec.After != nil {
		for _, before := range spec.After.Stages {
			if has := statusOf(p, before).Has; has != nil {
				found = has
				break
			}
		}
	}
	if found == nil || bundleID(s.Has) == found.ID && s.Wants == nil {
		return nil
	}
	return found
}

// RollbackTarget is the newest bundle before the one that a stage has that was verified in
// it and is not in quarantine; nil if there is none.
func RollbackTarget(p *sluicev1.Pipeline, stage string) *sluicev1.Bundle {
	s := statusOf(p, stage)
	for i := range s.Landings {
		l := &s.Landings[i]
		if l.Verdict == promotion.VerdictVerified && l.Bundle.ID != bundleID(s.Has) && quarantineOf(p, l.Bundle.ID) == nil {
			return &l.Bundle
		}
	}
	return nil
}

// BundleRow is what became of a bundle in each stage.
type BundleRow struct {
	// Bundle that it is about.
	Bundle sluicev1.Bundle `json:"bundle"`
	// Newest means that it is the candidate.
	Newest bool `json:"newest,omitempty"`
	// Quarantined means that no stage is given it.
	Quarantined bool `json:"quarantined,omitempty"`
	// Stages are in the order of the spec.
	Stages []BundleInStage `json:"stages"`
}

// Relations of a stage to a bundle.
const (
	StageHas      = "Has"
	StageHad      = "Had"
	StageWants    = "Wants"
	StageProposes = "Proposes"
)

// BundleInStage is what became of a bundle in a stage.
type BundleInStage struct {
	// Stage is its name.
	Stage string `json:"stage"`
	// Relation is Has, Had, Wants, Proposes or empty.
	Relation string `json:"relation,omitempty"`
	// Verdict on the last time that the stage had it: Verified, Failed or Replaced.
	Verdict string `json:"verdict,omitempty"`
	// At is when the stage got it last.
	At *time.Time `json:"at,omitempty"`
	// Commit is the one in which the stage got it last; left out where none brought it.
	Commit string `json:"commit,omitempty"`
}

// Matrix is what became of each bundle in each stage, the newest bundle first.
func Matrix(p *sluicev1.Pipeline) []BundleRow {
	rows := []BundleRow{}
	for _, b := range Bundles(p) {
		row := BundleRow{
			Bundle: b, Newest: bundleID(p.Status.Candidate) == b.ID, Quarantined: quarantineOf(p, b.ID) != nil,
			Stages: []BundleInStage{},
		}
		for _, spec := range p.Spec.Stages {
			row.Stages = append(row.Stages, inStage(statusOf(p, spec.Name), b.ID))
		}
		rows = append(rows, row)
	}
	return rows
}

func inStage(s sluicev1.StageStatus, bundle string) BundleInStage {
	cell := BundleInStage{Stage: s.Name}
	for _, l := range s.Landings {
		if l.Bundle.ID == bundle {
			cell.Relation, cell.Verdict, cell.At, cell.Commit = StageHad, l.Verdict, &l.At.Time, l.Commit
			break
		}
	}
	switch {
	case bundleID(s.Has) == bundle:
		cell.Relation = StageHas
	case s.PullRequest != nil && s.PullRequest.State == "open" && s.PullRequest.Bundle == bundle:
		cell.Relation = StageProposes
	case bundleID(s.Wants) == bundle:
		cell.Relation = StageWants
	}
	return cell
}
