// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"time"

	"k8s.io/apimachinery/pkg/types"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
)

// Image is the way of one policy's image from the registry to Git.
type Image struct {
	// Namespace of the policy.
	Namespace string `json:"namespace"`
	// Policy is the name of the ImagePolicy.
	Policy string `json:"policy"`
	// Image is the repository in the registry, without a tag.
	Image string `json:"image,omitempty"`
	// Tags is how many tags the last scan found.
	Tags int `json:"tags"`
	// LastScan is when the tags were listed last.
	LastScan *time.Time `json:"lastScan,omitempty"`
	// Best is the first tag in the policy's order, whether it may be chosen or not.
	Best string `json:"best,omitempty"`
	// Chosen is the tag that the policy stands for.
	Chosen string `json:"chosen,omitempty"`
	// Digest is the digest of the chosen tag, if the policy reflects digests.
	Digest string `json:"digest,omitempty"`
	// Automation is the name of the one that has written the policy to Git.
	Automation string `json:"automation,omitempty"`
	// Written is the tag that the automation wrote.
	Written string `json:"written,omitempty"`
	// Commit is the hash of the last commit that the automation pushed.
	Commit string `json:"commit,omitempty"`
	// Ready is the status of the policy's condition Ready: True, False or Unknown.
	Ready string `json:"ready"`
	// Message is the message of the condition Ready.
	Message string `json:"message,omitempty"`
}

// Images reports the policies, each with its repository and with the automation that
// wrote it, if those are among the given ones.
func Images(
	policies []imagev1.ImagePolicy, repositories []imagev1.ImageRepository,
	automations []imagev1.ImageUpdateAutomation,
) List[Image] {
	byKey := map[types.NamespacedName]*imagev1.ImageRepository{}
	for i := range repositories {
		byKey[types.NamespacedName{Namespace: repositories[i].Namespace, Name: repositories[i].Name}] = &repositories[i]
	}
	return ListOf(policies, func(p *imagev1.ImagePolicy) Image {
		found := ofPolicy(p)
		if repo := byKey[RepositoryOf(p)]; repo != nil {
			found.addScan(repo)
		}
		found.addCommit(p, automations)
		return found
	})
}

// RepositoryOf names the ImageRepository that a policy refers to.
func RepositoryOf(p *imagev1.ImagePolicy) types.NamespacedName {
	ref := p.Spec.ImageRepositoryRef
	return types.NamespacedName{Namespace: cmp.Or(ref.Namespace, p.Namespace), Name: ref.Name}
}

func ofPolicy(p *imagev1.ImagePolicy) Image {
	found := Image{Namespace: p.Namespace, Policy: p.Name}
	if ref := p.Status.LatestRef; ref != nil {
		found.Image, found.Chosen, found.Digest = ref.Name, ref.Tag, ref.Digest
	}
	if d := p.Status.Decision; d != nil {
		found.Tags = d.Total
		if len(d.Candidates) > 0 {
			found.Best = d.Candidates[0].Tag
		}
	}
	found.Ready, found.Message = readyOf(p.Status.Conditions)
	return found
}

// addScan adds what the last scan of the policy's repository found.
func (i *Image) addScan(repo *imagev1.ImageRepository) {
	i.Image = repo.Spec.Image
	if scan := repo.Status.LastScanResult; scan != nil {
		i.Tags, i.LastScan = scan.TagCount, &scan.ScanTime.Time
	}
}

// addCommit adds what an automation wrote of the policy. If several have written it,
// one that is up to date is preferred over one that lags behind.
func (i *Image) addCommit(p *imagev1.ImagePolicy, automations []imagev1.ImageUpdateAutomation) {
	for _, a := range automations {
		ref, ok := a.Status.ObservedPolicies[p.Name]
		if a.Namespace != p.Namespace || !ok {
			continue
		}
		i.Automation, i.Written, i.Commit = a.Name, ref.Tag, a.Status.LastPushCommit
		if p.Status.LatestRef != nil && ref == *p.Status.LatestRef {
			return
		}
	}
}
