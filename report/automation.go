// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
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
	// Suspended means that nothing is written before spec.suspend is false.
	Suspended bool `json:"suspended,omitempty"`
	// Ready is the status of the condition Ready: True, False or Unknown.
	Ready string `json:"ready"`
	// Message is that of the condition Ready.
	Message string `json:"message,omitempty"`
}

// OfAutomation reads an automation's spec and status.
func OfAutomation(a *imagev1.ImageUpdateAutomation) Automation {
	found := Automation{
		Namespace: a.Namespace, Name: a.Name, Source: a.Spec.SourceRef.String(),
		Revision: a.Status.ObservedSourceRevision, Commit: a.Status.LastPushCommit,
		Markers: a.Status.Markers, Held: a.Status.Held, Written: a.Status.ObservedPolicies,
		Suspended: a.Spec.Suspend,
	}
	found.Ready, found.Message = readyOf(a.Status.Conditions)
	return found
}

// WhyHeld says which commit reverted an update of an automation, and what has it written
// again.
func WhyHeld(a *imagev1.ImageUpdateAutomation, held imagev1.HeldUpdate) string {
	who := "somebody"
	if held.By != "" {
		who = "commit '" + Short(held.By) + "'"
	}
	return fmt.Sprintf("%s reverted the update of policy '%s' to '%s': it is not written again until the policy "+
		"chooses another image, or `sluice resume automation %s -n %s`", who, held.Policy, held.Ref.String(), a.Name, a.Namespace)
}
