// SPDX-License-Identifier: Apache-2.0

package report

import (
	"time"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// Freeze is whether a Freeze stops pipelines, and until when.
type Freeze struct {
	// Name of the Freeze.
	Name string `json:"name"`
	// Active means that the pipelines are frozen now.
	Active bool `json:"active"`
	// Window is the name of the window that says so.
	Window string `json:"window,omitempty"`
	// NextChange is when that changes next.
	NextChange *time.Time `json:"nextChange,omitempty"`
	// Pipelines is how many pipelines it selects.
	Pipelines int `json:"pipelines"`
	// Stages are the names of the stages that it is about; none is all.
	Stages []string `json:"stages,omitempty"`
	// Reason is told to those who wait.
	Reason string `json:"reason,omitempty"`
	// Ready is the status of the condition Ready: True, False or Unknown.
	Ready string `json:"ready"`
	// Message is the message of the condition Ready.
	Message string `json:"message,omitempty"`
}

// OfFreeze reads a Freeze's spec and status.
func OfFreeze(f *sluicev1.Freeze) Freeze {
	found := Freeze{
		Name: f.Name, Active: f.Status.Active, Window: f.Status.Window,
		Pipelines: int(f.Status.Pipelines), Stages: f.Spec.Stages, Reason: f.Spec.Reason,
	}
	if at := f.Status.NextChange; at != nil {
		found.NextChange = &at.Time
	}
	found.Ready, found.Message = readyOf(f.Status.Conditions)
	return found
}
