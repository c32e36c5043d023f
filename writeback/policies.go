// SPDX-License-Identifier: Apache-2.0

package writeback

import (
	"maps"

	"github.com/sluice-cd/sluice/writeback/edit"
)

// Why a marker of a policy is left alone, besides what is wrong with the marker
// itself; the reasons of [edit.Reason] are the others.
const (
	// NotReady policies may still show an older choice.
	NotReady edit.Reason = "the policy is not ready"
	// NotSelected policies are left out by the automation's selector.
	NotSelected edit.Reason = "the policy is not selected by the automation"
	// Reverted choices were written once and undone by someone else.
	Reverted edit.Reason = "the update was reverted and is held"
	// Incomplete policies have another field that asks for a part that the image
	// lacks. Half an image reference is a wrong one.
	Incomplete edit.Reason = "another marker of the policy asks for a part that its image does not have"
	// PipelineWrites is the reason at markers that a stage of a pipeline writes: the newest
	// version is not what was verified for the stage.
	PipelineWrites edit.Reason = "a Pipeline writes it"
)

// Policies are what a plan knows of the policies of one namespace.
type Policies struct {
	Namespace string
	// Chosen are the images to write, by policy.
	Chosen map[string]edit.Image
	// Absent are the policies that exist and are not written, and why:
	// [NotReady] or [NotSelected]. A policy in neither map does not exist.
	Absent map[string]edit.Reason
	// Held are the policies of Chosen whose image was reverted.
	Held map[string]bool
	// Owners are the stages of pipelines that write markers of these policies. Such a
	// marker is left alone.
	Owners Owners
}

// only is the same with no other policy to write.
func (p Policies) only(policy string) Policies {
	chosen := map[string]edit.Image{}
	if image, ok := p.Chosen[policy]; ok {
		chosen[policy] = image
	}
	p.Chosen = chosen
	return p
}

// images are the choices, as the editor takes them.
func (p Policies) images() edit.Images {
	return edit.Images{Namespace: p.Namespace, ByPolicy: p.Chosen}
}

// without are images that have none of the policies that somebody else writes.
func without(images edit.Images, owners map[string]string) edit.Images {
	if len(owners) == 0 {
		return images
	}
	images.ByPolicy = maps.Clone(images.ByPolicy)
	maps.DeleteFunc(images.ByPolicy, func(policy string, _ edit.Image) bool { return owners[policy] != "" })
	return images
}

// writable are the choices that are neither held nor lack a part.
func (p Policies) writable(lacking map[string]bool) edit.Images {
	chosen := maps.Clone(p.Chosen)
	maps.DeleteFunc(chosen, func(policy string, _ edit.Image) bool { return p.Held[policy] || lacking[policy] })
	return edit.Images{Namespace: p.Namespace, ByPolicy: chosen}
}

// hold is the same with more policies held.
func (p Policies) hold(policies []string) Policies {
	held := maps.Clone(p.Held)
	if held == nil {
		held = map[string]bool{}
	}
	for _, policy := range policies {
		held[policy] = true
	}
	p.Held = held
	return p
}
