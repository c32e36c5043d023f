// SPDX-License-Identifier: Apache-2.0

package report

import (
	"iter"
	"slices"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/policy"
)

// GateExclusion is the gate of the tags that the exclusion list of the ImageRepository
// leaves out: no policy ever sees them.
const GateExclusion policy.Gate = "exclusionList"

// Explanation says what a policy makes of every tag.
type Explanation struct {
	// Namespace of the policy, left out if it is only tried.
	Namespace string `json:"namespace,omitempty"`
	// Policy is the name of the ImagePolicy, left out if it is only tried.
	Policy string `json:"policy,omitempty"`
	// Image is the repository in the registry, if the tags were read from there.
	Image string `json:"image,omitempty"`
	// Rule is the policy in words, such as semver 1.x.
	Rule string `json:"rule"`
	// Total is how many tags were judged.
	Total int `json:"total"`
	// Qualified is how many of the tags rank.
	Qualified int `json:"qualified"`
	// Why says in a sentence why the best tag is the best one, or why there is none.
	Why string `json:"why"`
	// ForTheController are the fields of the policy that need the registry, or the time at which a tag was first seen: of the best
	// tags the controller's last verdict is told.
	ForTheController []string `json:"forTheController,omitempty"`
	// SignatureVerified means that the controller has verified the signature of the chosen image, as spec.verify asks for now.
	SignatureVerified bool `json:"signatureVerified,omitempty"`
	// Gates say how many tags each of them has, also of those that are left out of Tags.
	Gates []GateCount `json:"gates"`
	// LeftOut is how many tags are not among Tags, of which there are too many.
	LeftOut int `json:"leftOut,omitempty"`
	// Tags are the ones that rank, the best first, then those that were dropped.
	Tags []Tag `json:"tags"`
}

// GateCount says how many tags a gate dropped, or keeps from being chosen.
type GateCount struct {
	// Gate, named after its field of the spec.
	Gate policy.Gate `json:"gate"`
	// Dropped is the number of tags.
	Dropped int `json:"dropped"`
}

// Tag says what became of one tag.
type Tag struct {
	// Tag is the tag itself.
	Tag string `json:"tag"`
	// Text is what the rule compared, left out if the filter dropped the tag.
	Text string `json:"text,omitempty"`
	// Rank counts from 1, the best. It is left out for a tag that was dropped.
	Rank int `json:"rank,omitempty"`
	// Gate is the first that dropped the tag, named after its field of the spec. A tag
	// that ranks has one, too, if it may not be chosen yet.
	Gate policy.Gate `json:"gate,omitempty"`
	// Why ends the sentence that starts with the tag, such as: outside the range.
	Why string `json:"why,omitempty"`
	// Chosen marks the tag that the policy stands for at present.
	Chosen bool `json:"chosen,omitempty"`
	// Digest is known of the best tags of a policy with a status.
	Digest string `json:"digest,omitempty"`
	// FirstSeen is when a scan found the tag first, and of the same tags when with the digest; left out where that is not known, as of
	// other tags outside of the controller.
	FirstSeen *time.Time `json:"firstSeen,omitempty"`
}

// Explain judges tags by the compiled rule of a policy, and adds what the policy's
// status knows of them: the verdict of gates that need the registry or a clock is
// that of the last reconciliation. The tags are read twice.
func Explain(p *imagev1.ImagePolicy, rule *policy.Policy, tags iter.Seq[string]) Explanation {
	decision := rule.Select(tags)
	found := Explanation{
		Namespace: p.Namespace, Policy: p.Name, Rule: rule.String(),
		Total: decision.Total, Qualified: decision.Qualified(), Why: decision.Why(), Tags: []Tag{},
		ForTheController: FieldsForTheController(&p.Spec), SignatureVerified: isSignatureVerified(p),
	}
	candidates, best := candidatesOf(p), ""
	for _, line := range rule.Explain(tags) {
		tag := Tag{Tag: line.Tag, Text: line.Text, Rank: line.Rank, Gate: line.Gate, Why: line.Why}
		tag.Chosen = p.Status.LatestRef != nil && p.Status.LatestRef.Tag == tag.Tag
		if candidate, ok := candidates[tag.Tag]; ok {
			tag.addCandidate(candidate)
		}
		switch {
		case tag.Gate != "", tag.Why != "": // decisions of before there were gates have the reason alone
		case best != "":
			tag.Why = "after " + best + " in the order"
		default:
			best = tag.Tag
			tag.Why = whyBest(&tag, found.Rule)
		}
		found.Tags = append(found.Tags, tag)
	}
	return found
}

// isSignatureVerified reports whether the controller has chosen the image by the present spec, which has it verify signatures. A digest
// alone says nothing: it is looked up for other reasons as well.
func isSignatureVerified(p *imagev1.ImagePolicy) bool {
	chosen := p.Status.LatestRef
	if p.Spec.Verify == nil || p.Status.ObservedGeneration != p.Generation || chosen == nil || chosen.Digest == "" ||
		!apimeta.IsStatusConditionTrue(p.Status.Conditions, meta.ReadyCondition) {
		return false
	}
	candidate, ok := candidatesOf(p)[chosen.Tag]
	return ok && candidate.Digest == chosen.Digest && candidate.Gate == "" && candidate.Dropped == ""
}

// whyBest says why a tag is the best that may be chosen; nothing of the one that was chosen.
func whyBest(tag *Tag, rule string) string {
	switch {
	case tag.Chosen:
		return ""
	case tag.Rank == 1:
		return "first by " + rule
	default:
		return "the best by " + rule + " that no gate drops"
	}
}

// candidatesOf are the best tags of the last decision, by tag.
func candidatesOf(p *imagev1.ImagePolicy) map[string]imagev1.Candidate {
	candidates := map[string]imagev1.Candidate{}
	if p.Status.Decision != nil {
		for _, candidate := range p.Status.Decision.Candidates {
			candidates[candidate.Tag] = candidate
		}
	}
	return candidates
}

// addCandidate adds what the controller found out about a tag. A gate that dropped it
// here comes first.
func (t *Tag) addCandidate(candidate imagev1.Candidate) {
	t.Digest = candidate.Digest
	if candidate.FirstSeen != nil {
		t.FirstSeen = &candidate.FirstSeen.Time
	}
	if t.Gate == "" {
		t.Gate, t.Why = policy.Gate(candidate.Gate), candidate.Dropped
	}
}

// AddFirstSeen says when scans found tags first of which the status of the policy does not tell. Of a tag that is not known at is zero.
func (x *Explanation) AddFirstSeen(at func(tag string) time.Time) {
	for i := range x.Tags {
		if tag := &x.Tags[i]; tag.FirstSeen == nil {
			if first := at(tag.Tag); !first.IsZero() {
				tag.FirstSeen = &first
			}
		}
	}
}

// Limited keeps the first n of the tags that rank, the first n of the others, and the one that is chosen. 0 keeps all. It counts what
// the gates dropped of all of them.
func (x Explanation) Limited(n int) Explanation {
	x.Gates = gatesOf(x.Tags)
	if n == 0 {
		return x
	}
	ranked, dropped, kept := 0, 0, []Tag{}
	for _, tag := range x.Tags {
		count := &dropped
		if tag.Rank > 0 {
			count = &ranked
		}
		if *count++; *count <= n || tag.Chosen {
			kept = append(kept, tag)
		}
	}
	x.Tags, x.LeftOut = kept, len(x.Tags)-len(kept)
	return x
}

// gatesOf counts the tags of each gate, in the order in which they are met.
func gatesOf(tags []Tag) []GateCount {
	found := []GateCount{}
	for _, tag := range tags {
		if tag.Gate == "" {
			continue
		}
		i := slices.IndexFunc(found, func(c GateCount) bool { return c.Gate == tag.Gate })
		if i < 0 {
			i, found = len(found), append(found, GateCount{Gate: tag.Gate})
		}
		found[i].Dropped++
	}
	return found
}

// FieldsForTheController are the fields of a policy that Explain does not judge, since
// they need the registry or the time at which a tag was first seen.
func FieldsForTheController(spec *imagev1.ImagePolicySpec) []string {
	var fields []string
	for _, field := range []struct {
		name string
		set  bool
	}{
		{"minAge", spec.MinAge != nil && spec.Pin == nil},
		{"platform", spec.Platform != ""},
		{"reject.digest", slices.ContainsFunc(spec.Reject, func(r imagev1.Rejection) bool { return r.Digest != "" })},
		{"verify", spec.Verify != nil},
	} {
		if field.set {
			fields = append(fields, field.name)
		}
	}
	return fields
}
