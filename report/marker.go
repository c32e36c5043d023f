// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"fmt"
	"strings"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
)

// MarkerState is what becomes of a marker, in one word; Why says the rest.
type MarkerState string

// The states of a marker.
const (
	// MarkerCurrent is a marker whose value is the one that its policy stands for.
	MarkerCurrent MarkerState = "current"
	// MarkerOutdated is one whose value would be replaced.
	MarkerOutdated MarkerState = "outdated"
	// MarkerUpdated is one whose value was replaced.
	MarkerUpdated MarkerState = "updated"
	// MarkerHeld is one that waits: somebody reverted the update, or the image lacks a
	// part that a marker of its policy asks for.
	MarkerHeld MarkerState = "held"
	// MarkerSkipped is one that has no effect.
	MarkerSkipped MarkerState = "skipped"
)

// Marker is a setter marker, such as # {"$imagepolicy": "apps:podinfo"}, and what
// becomes of the value before it.
type Marker struct {
	// File is the path from the root of the repository or of the directory.
	File string `json:"file"`
	// Line counts from 1. It is left out where a file is skipped as a whole.
	Line int `json:"line,omitempty"`
	// Marker is the setter, such as apps:podinfo:tag, left out if it cannot be read.
	Marker string `json:"marker,omitempty"`
	// Current is the value in the file, before an update of it.
	Current string `json:"current,omitempty"`
	// Wanted is the value that the policy stands for.
	Wanted string `json:"wanted,omitempty"`
	// State is current, outdated, updated, held or skipped.
	State MarkerState `json:"state"`
	// Why says what a held marker waits for, or what keeps a skipped one from having an
	// effect.
	Why string `json:"why,omitempty"`
}

// Location is the place of the marker, as file:line.
func (m Marker) Location() string {
	if m.Line == 0 {
		return m.File
	}
	return fmt.Sprintf("%s:%d", m.File, m.Line)
}

// Namespace is the namespace of the marker's policy, empty if the marker cannot be read.
func (m Marker) Namespace() string {
	namespace, _, _ := strings.Cut(m.Marker, ":")
	return namespace
}

// Policy is the name of the marker's policy, empty if the marker cannot be read.
func (m Marker) Policy() string {
	_, rest, _ := strings.Cut(m.Marker, ":")
	policy, _, _ := strings.Cut(rest, ":")
	return policy
}

// Compare orders markers by file and line.
func (m Marker) Compare(other Marker) int {
	return cmp.Or(cmp.Compare(m.File, other.File), cmp.Compare(m.Line, other.Line))
}

// CountMarkers is how many of the markers are in a state.
func CountMarkers(markers []Marker, state MarkerState) int {
	n := 0
	for _, m := range markers {
		if m.State == state {
			n++
		}
	}
	return n
}

// AutomationMarkers are the markers in the files of an automation.
type AutomationMarkers struct {
	// Namespace of the automation.
	Namespace string `json:"namespace"`
	// Automation is its name.
	Automation string `json:"automation"`
	// Revision is the commit that was read, or the local directory.
	Revision string `json:"revision"`
	// PullRequest is the last one that was opened for the push branch.
	PullRequest *imagev1.PullRequestStatus `json:"pullRequest,omitempty"`
	// Markers are in order of file and line.
	Markers []Marker `json:"markers"`
}

// DirectoryMarkers are the markers in the files of a local directory.
type DirectoryMarkers struct {
	// Markers are in order of file and line.
	Markers []Marker `json:"markers"`
}
