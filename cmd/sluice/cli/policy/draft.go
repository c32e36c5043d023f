// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
)

// draft is another policy to try, as flags. It is applied to a policy of a
// cluster or a file, or is one by itself; it is never saved.
type draft struct {
	semver                  string
	alphabetical, numerical bool
	order                   string
	pattern, extract        string
	pin                     string
	reject                  []string
}

// The flags of a draft, by what they replace.
var (
	ruleFlags  = []string{"range", "alphabetical", "numerical"}
	draftFlags = append([]string{"order", "pattern", "extract", "pin", "reject"}, ruleFlags...)
)

func (t *draft) register(cmd *cobra.Command) {
	set := cmd.Flags()
	set.StringVar(&t.semver, "range", "", "try policy.semver with this range, such as '>=1.0.0 <2.0.0'")
	set.BoolVar(&t.alphabetical, "alphabetical", false, "try policy.alphabetical")
	set.BoolVar(&t.numerical, "numerical", false, "try policy.numerical")
	set.StringVar(&t.order, "order", "", "try this order of an alphabetical or numerical policy: asc or desc")
	set.StringVar(&t.pattern, "pattern", "", "try this filterTags.pattern; empty is none")
	set.StringVar(&t.extract, "extract", "", "try this filterTags.extract, such as '$ts'")
	set.StringVar(&t.pin, "pin", "", "try a pin of this tag; empty is none")
	set.StringArrayVar(&t.reject, "reject", nil, "try the rejection of this tag as well (repeatable)")
	cmd.MarkFlagsMutuallyExclusive(ruleFlags...)
}

// chosen reports whether any flag of the draft, or of some, was set.
func chosen(set *pflag.FlagSet, names ...string) bool {
	for _, name := range names {
		if set.Changed(name) {
			return true
		}
	}
	return false
}

// apply changes a policy to what the flags say, as far as they say anything. A
// rule to try takes the place of a pin, or there would be nothing to see.
func (t *draft) apply(set *pflag.FlagSet, spec *imagev1.ImagePolicySpec) error {
	if chosen(set, ruleFlags...) {
		spec.Pin = nil
		spec.Policy = t.choose(set, spec.Policy)
	}
	if set.Changed("order") {
		if err := t.reorder(&spec.Policy); err != nil {
			return err
		}
	}
	if err := t.filter(set, spec); err != nil {
		return err
	}
	if set.Changed("pin") {
		spec.Pin = nil
		if t.pin != "" {
			spec.Pin = &imagev1.Pin{Tag: t.pin}
		}
	}
	for _, tag := range t.reject {
		spec.Reject = append(spec.Reject, imagev1.Rejection{Tag: tag, Reason: "--reject"})
	}
	return nil
}

// choose returns a policy with the rule of the flags. If it had one of the same kind, what
// no flag says is kept of that.
func (t *draft) choose(set *pflag.FlagSet, old imagev1.ImagePolicyChoice) (choice imagev1.ImagePolicyChoice) {
	switch {
	case t.alphabetical:
		choice.Alphabetical = copyOrNew(old.Alphabetical)
	case t.numerical:
		choice.Numerical = copyOrNew(old.Numerical)
	case set.Changed("range"):
		choice.SemVer = copyOrNew(old.SemVer)
		choice.SemVer.Range = t.semver
	}
	return choice
}

// copyOrNew returns a copy of what a pointer leads to, or a zero value for nil.
func copyOrNew[T any](p *T) *T {
	var value T
	if p != nil {
		value = *p
	}
	return &value
}

func (t *draft) reorder(choice *imagev1.ImagePolicyChoice) error {
	switch {
	case t.order != "asc" && t.order != "desc":
		return fmt.Errorf("--order: unknown order %q, must be asc or desc", t.order)
	case choice.Alphabetical != nil:
		choice.Alphabetical = copyOrNew(choice.Alphabetical)
		choice.Alphabetical.Order = t.order
	case choice.Numerical != nil:
		choice.Numerical = copyOrNew(choice.Numerical)
		choice.Numerical.Order = t.order
	default:
		return errors.New("--order: only alphabetical and numerical policies have one; add --alphabetical or --numerical")
	}
	return nil
}

func (t *draft) filter(set *pflag.FlagSet, spec *imagev1.ImagePolicySpec) error {
	if !chosen(set, "pattern", "extract") {
		return nil
	}
	filter := imagev1.TagFilter{}
	if spec.FilterTags != nil {
		filter = *spec.FilterTags
	}
	if set.Changed("pattern") {
		filter.Pattern = t.pattern
	}
	if set.Changed("extract") {
		filter.Extract = t.extract
	}
	if filter.Pattern == "" && t.extract != "" {
		return errors.New("--extract: there is no pattern to extract from; add --pattern")
	}
	spec.FilterTags = &filter
	if filter.Pattern == "" {
		spec.FilterTags = nil
	}
	return nil
}
