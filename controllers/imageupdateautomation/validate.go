package imageupdateautomation

import (
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
)

// defaultBranch is what a GitRepository without a ref means, as in Flux.
const defaultBranch = "master"

// validate refuses what no other object and no retry can make right.
func validate(a *imagev1.ImageUpdateAutomation) error {
	if err := validateSource(a); err != nil {
		return err
	}
	if u := a.Spec.Update; u != nil && u.Strategy != "" && u.Strategy != imagev1.UpdateStrategySetters {
		return refuse(imagev1.InvalidUpdateStrategyReason, "spec.update.strategy: %q is not supported, only %q",
			u.Strategy, imagev1.UpdateStrategySetters)
	}
	if a.Spec.GitSpec.Commit.SigningKey != nil {
		return refuse(imagev1.InvalidSourceConfigReason, "spec.git.commit.signingKey: signing commits is not supported")
	}
	if push := a.Spec.GitSpec.Push; push != nil {
		if push.Refspec != "" {
			return refuse(imagev1.InvalidSourceConfigReason, "spec.git.push.refspec: refspecs are not supported, only spec.git.push.branch")
		}
		if len(push.Options) > 0 {
			return refuse(imagev1.InvalidSourceConfigReason, "spec.git.push.options: push options are not supported")
		}
	}
	return nil
}

func validateSource(a *imagev1.ImageUpdateAutomation) error {
	ref := a.Spec.SourceRef
	group, _, _ := strings.Cut(ref.APIVersion, "/")
	if ref.Kind != sourcev1.GitRepositoryKind || (group != "" && group != sourcev1.GroupVersion.Group) {
		return refuse(imagev1.InvalidSourceConfigReason, "spec.sourceRef: source kind '%s' not supported, only %s of %s",
			ref.Kind, sourcev1.GitRepositoryKind, sourcev1.GroupVersion.Group)
	}
	if a.Spec.GitSpec == nil {
		return refuse(imagev1.InvalidSourceConfigReason, "spec.git: source kind '%s' necessitates this field", ref.Kind)
	}
	return nil
}

// branches are the branch to start from and the one to push to.
func branches(a *imagev1.ImageUpdateAutomation, repo *sourcev1.GitRepository) (checkout, push string, err error) {
	if c := a.Spec.GitSpec.Checkout; c != nil {
		checkout, err = branchOf("spec.git.checkout.ref", c.Reference)
	} else {
		checkout, err = sourceBranch(repo)
	}
	if err != nil {
		return "", "", err
	}
	push = checkout
	if p := a.Spec.GitSpec.Push; p != nil && p.Branch != "" {
		push = p.Branch
	}
	return checkout, push, nil
}

// sourceBranch is the branch that the GitRepository follows.
func sourceBranch(repo *sourcev1.GitRepository) (string, error) {
	if repo.Spec.Reference == nil {
		return defaultBranch, nil
	}
	return branchOf("spec.ref of the GitRepository", imagev1.GitReference(*repo.Spec.Reference))
}

// branchOf is the branch that a reference names. All else that it could name
// stands still, or moves by rules that say nothing about where to push.
func branchOf(field string, ref imagev1.GitReference) (string, error) {
	refuseField := func(name string) error {
		return refuse(imagev1.InvalidSourceConfigReason,
			"%s: '%s' is not supported, only 'branch'; set spec.git.checkout.ref.branch", field, name)
	}
	switch branch, isBranch := strings.CutPrefix(ref.Name, "refs/heads/"); {
	case ref.Commit != "":
		return "", refuseField("commit")
	case isBranch:
		return branch, nil
	case ref.Name != "":
		return "", refuseField("name")
	case ref.SemVer != "":
		return "", refuseField("semver")
	case ref.Tag != "":
		return "", refuseField("tag")
	case ref.Branch != "":
		return ref.Branch, nil
	}
	return defaultBranch, nil
}
