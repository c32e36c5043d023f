// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/shorten"
)

// Automation is what the last run of an ImageUpdateAutomation found and wrote.
type Automation struct {
	// Namespace of the automation.
	Namespace string `json:"namespace"`
	// Name of the automation.
	Name string `json:"name"`
	// Source is what is read and written, such as GitRepository/apps/fleet.
	Source string `json:"source"`
	// Revision is what the last run read, such as main@sha1:0123...
	Revision string `json:"revision,omitempty"`
	// Commit is the hash of the last commit that was pushed.
	Commit string `json:"commit,omitempty"`
	// Markers counts the markers by what became of them.
	Markers *imagev1.MarkerCounts `json:"markers,omitempty"`
	// Held are updates that a person has reverted; they wait to be released.
	Held []imagev1.HeldUpdate `json:"held,omitempty"`
	// Written are the images in Git, by the name of their policy.
	Written imagev1.ObservedPolicies `json:"written,omitempty"`
	// PullRequest is the last one that was opened for the push branch.
	PullRequest *imagev1.PullRequestStatus `json:"pullRequest,omitempty"`
	// Declined is what people closed pull requests of; it is not proposed again.
	Declined []imagev1.DeclinedProposal `json:"declined,omitempty"`
	// Suspended means that nothing is written before spec.suspend is false.
	Suspended bool `json:"suspended,omitempty"`
	// Ready is the status of the condition Ready: True, False or Unknown.
	Ready string `json:"ready"`
	// Message is the message of the condition Ready.
	Message string `json:"message,omitempty"`
}

// OfAutomation reads an automation's spec and status.
func OfAutomation(a *imagev1.ImageUpdateAutomation) Automation {
	found := Automation{
		Namespace: a.Namespace, Name: a.Name, Source: a.Spec.SourceRef.String(),
		Revision: a.Status.ObservedSourceRevision, Commit: a.Status.LastPushCommit,
		Markers: a.Status.Markers, Held: a.Status.Held, Written: a.Status.ObservedPolicies,
		PullRequest: a.Status.PullRequest, Declined: a.Status.Declined,
		Suspended: a.Spec.Suspend,
	}
	found.Ready, found.Message = readyOf(a.Status.Conditions)
	return found
}

// AboutPullRequest says what the pull request of an automation waits for; empty if there is
// nothing to say, as of one that was merged.
func AboutPullRequest(pr *imagev1.PullRequestStatus) string {
	if pr == nil || pr.State != imagev1.PullRequestOpen && pr.WaitsFor == "" {
		return ""
	}
	text := fmt.Sprintf("pull request #%d", pr.Number)
	if pr.Frozen != "" {
		text += ", which keeps what it proposes: " + pr.Frozen
	}
	if pr.WaitsFor != "" {
		text += ", waits for " + pr.WaitsFor
	}
	return text
}

// WhyHeld says which commit reverted an update of an automation, and what has it written
// again.
func WhyHeld(a *imagev1.ImageUpdateAutomation, held imagev1.HeldUpdate) string {
	who := "somebody"
	if held.By != "" {
		who = "commit '" + shorten.Commit(held.By) + "'"
	}
	return fmt.Sprintf("%s reverted the update of policy '%s' to '%s': it is not written again until the policy "+
		"chooses another image, or `sluice release automation %s -n %s`", who, held.Policy, held.Ref.String(), a.Name, a.Namespace)
}
