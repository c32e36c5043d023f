// SPDX-License-Identifier: Apache-2.0

package imageupdateautomation

import (
	"fmt"
	"slices"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/promotion/forge"
)

// validatePullRequest refuses a pull request that there can never be, before anything is
// pushed for it.
func validatePullRequest(a *imagev1.ImageUpdateAutomation, repo *sourcev1.GitRepository, at branches) error {
	spec := pullRequestOf(a)
	if spec == nil {
		return nil
	}
	refuse := func(format string, args ...any) error { return refuse(imagev1.InvalidSpecReason, format, args...) }
	base := at.checkout.BranchName()
	switch push := a.Spec.GitSpec.Push; {
	case base == "":
		return refuse("spec.git.checkout.ref, or else spec.ref of the GitRepository: %s needs a branch to propose to", pullRequestField)
	case push.Branch == "" || push.Branch == base:
		return refuse("spec.git.push.branch: %s needs another branch than '%s', which is checked out", pullRequestField, base)
	case push.Refspec != "":
		return refuse("spec.git.push.refspec: it cannot be combined with %s, which decides what is pushed", pullRequestField)
	}
	if err := validateMerging(spec); err != nil {
		return err
	}
	if err := templatesOf(a, spec).Parse(); err != nil {
		return err
	}
	c := connectionOf(a, observation{repo: repo})
	if err := c.Validate(); err != nil {
		return err
	}
	provider, err := c.ProviderName()
	if err != nil {
		return err
	}
	if err := supports(provider, spec); err != nil {
		return refuse("%s: %w", pullRequestField, err)
	}
	return nil
}

// validateMerging refuses words that the API does not have.
func validateMerging(spec *imagev1.PullRequestSpec) error {
	autoMerges := []imagev1.AutoMerge{"", imagev1.AutoMergeNever, imagev1.AutoMergeSelf, imagev1.AutoMergePlatform}
	if !slices.Contains(autoMerges, spec.AutoMerge) {
		return refuse(imagev1.InvalidSpecReason, "%s.autoMerge: %q is none of never, self, platform", pullRequestField, spec.AutoMerge)
	}
	return nil
}

// supports refuses what a forge cannot do.
func supports(provider string, spec *imagev1.PullRequestSpec) error {
	can, err := forge.CapabilitiesOf(provider)
	if err != nil {
		return err
	}
	method := forge.Method(spec.MergeMethod)
	switch {
	case spec.AutoMerge == imagev1.AutoMergePlatform && !can.AutoMerge:
		return &forge.Unsupported{Provider: provider, What: "autoMerge: platform"}
	case method != "" && !slices.Contains(can.Methods, method):
		return &forge.Unsupported{Provider: provider, What: fmt.Sprintf("mergeMethod: %s", method)}
	}
	return can.Supports(provider, forge.NewPullRequest{
		Text: forge.Text{Draft: spec.Draft}, Labels: spec.Labels, Reviewers: spec.Reviewers, Assignees: spec.Assignees,
	})
}
