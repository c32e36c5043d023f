// SPDX-License-Identifier: Apache-2.0

package imageupdateautomation

import (
	"path"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/writeback"
)

// validate refuses what no other object and no retry can make right.
func validate(a *imagev1.ImageUpdateAutomation) error {
	if err := validateSource(a); err != nil {
		return err
	}
	if u := a.Spec.Update; u != nil && u.Strategy != "" && u.Strategy != imagev1.UpdateStrategySetters {
		return refuse(imagev1.InvalidUpdateStrategyReason, "spec.update.strategy: %q is not supported, only %q",
			u.Strategy, imagev1.UpdateStrategySetters)
	}
	if u := a.Spec.Update; u != nil && strings.HasPrefix(path.Clean(strings.TrimLeft(u.Path, "/"))+"/", "../") {
		return refuse(imagev1.InvalidUpdateStrategyReason, "spec.update.path: %q is outside of the repository", u.Path)
	}
	return validateCommit(a.Spec.GitSpec.Commit)
}

// validateCommit refuses what a commit cannot say.
func validateCommit(commit imagev1.CommitSpec) error {
	if why := git.CheckName(commit.Author.Name); why != "" {
		return refuse(imagev1.InvalidSourceConfigReason, "spec.git.commit.author.name: %q %s", commit.Author.Name, why)
	}
	if why := git.CheckEmail(commit.Author.Email); why != "" {
		return refuse(imagev1.InvalidSourceConfigReason, "spec.git.commit.author.email: %q %s", commit.Author.Email, why)
	}
	if key := commit.SigningKey; key != nil {
		switch key.Type {
		case "", imagev1.SigningKeyTypeGPG, imagev1.SigningKeyTypeSSH:
		default:
			return refuse(imagev1.InvalidSourceConfigReason, "spec.git.commit.signingKey.type: %q is neither gpg nor ssh", key.Type)
		}
		if key.SecretRef.Name == "" {
			return refuse(imagev1.InvalidSourceConfigReason, "spec.git.commit.signingKey.secretRef.name is empty")
		}
	}
	switch commit.Per {
	case "", imagev1.CommitPerAutomation, imagev1.CommitPerPolicy:
		return nil
	}
	return refuse(imagev1.InvalidSourceConfigReason, "spec.git.commit.per: %q is neither automation nor policy", commit.Per)
}

func validateSource(a *imagev1.ImageUpdateAutomation) error {
	ref := a.Spec.SourceRef
	group, _, _ := strings.Cut(ref.APIVersion, "/")
	if ref.Kind != sourcev1.GitRepositoryKind || (group != "" && group != sourcev1.GroupVersion.Group) {
		return refuse(imagev1.InvalidSourceConfigReason, "spec.sourceRef: source kind '%s' not supported, only %s of %s",
			ref.Kind, sourcev1.GitRepositoryKind, sourcev1.GroupVersion.Group)
	}
	if a.Spec.GitSpec == nil {
		return refuse(imagev1.InvalidSourceConfigReason, "source kind '%s' necessitates field .spec.git", ref.Kind)
	}
	return nil
}

// branches are what a run checks out and pushes to.
type branches struct {
	checkout git.Reference
	push     string
	refspec  writeback.Refspec
}

// branchesOf reads the spec of an automation, and what it leaves to the
// GitRepository.
func branchesOf(a *imagev1.ImageUpdateAutomation, repo *sourcev1.GitRepository) (branches, error) {
	at := branches{checkout: referenceOf(repo)}
	if c := a.Spec.GitSpec.Checkout; c != nil {
		at.checkout = git.Reference(c.Reference)
	}
	if err := at.checkout.Validate(); err != nil {
		return branches{}, refuse(imagev1.InvalidSourceConfigReason, "spec.git.checkout.ref, or else spec.ref of the GitRepository: %w", err)
	}
	if at.push = at.checkout.BranchName(); at.push == "" {
		at.push = at.checkout.Branch
	}
	push := a.Spec.GitSpec.Push
	if push != nil && push.Branch != "" {
		at.push = push.Branch
	}
	if at.push == "" {
		return branches{}, refuse(imagev1.InvalidSourceConfigReason, "spec.git.push.branch: push spec not provided, and cannot be "+
			"inferred from .spec.git.checkout.ref or GitRepository .spec.ref, which name no branch")
	}
	if err := (git.Reference{Branch: at.push}).Validate(); err != nil {
		return branches{}, refuse(imagev1.InvalidSourceConfigReason, "spec.git.push.branch: %w", err)
	}
	if push == nil || push.Refspec == "" {
		return at, nil
	}
	var err error
	if at.refspec, err = writeback.ParseRefspec(push.Refspec); err != nil {
		return branches{}, refuse(imagev1.InvalidSourceConfigReason, "spec.git.push.refspec: %w", err)
	}
	switch at.refspec.Source {
	case "HEAD", refOf(at.push), refOf(at.checkout.BranchName()):
		return at, nil
	}
	return branches{}, refuse(imagev1.InvalidSourceConfigReason,
		"spec.git.push.refspec: the source %s is neither HEAD, nor the push branch %s, nor the branch that is checked out",
		at.refspec.Source, at.push)
}

// referenceOf is what a GitRepository follows.
func referenceOf(repo *sourcev1.GitRepository) git.Reference {
	if repo.Spec.Reference == nil {
		return git.Reference{}
	}
	return git.Reference(*repo.Spec.Reference)
}
