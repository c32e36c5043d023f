// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"encoding/json"
	"time"

	"github.com/sluice-cd/sluice/report"
)

// Session says who looks at which cluster, and what cannot be shown.
type Session struct {
	// Version of the program.
	Version string `json:"version"`
	// User is what the API server calls who looks.
	User string `json:"user"`
	// Cluster is what people call it: a context of a kubeconfig, or else the address of the API server.
	Cluster string `json:"cluster"`
	// Namespace is the only one that is looked at; left out, it is all of them.
	Namespace string `json:"namespace,omitempty"`
	// ReadOnly means that nothing can be changed from here.
	ReadOnly bool `json:"readOnly"`
	// CanSignOut means that people sign in here, and out.
	CanSignOut bool `json:"canSignOut"`
	// Kinds can be listed.
	Kinds []string `json:"kinds"`
	// Reconciled are kinds whose objects can be reconciled, suspended and resumed.
	Reconciled []string `json:"reconciled"`
	// Missing are kinds that the user may not list, or that the cluster does not serve.
	Missing []Missing `json:"missing"`
}

// Missing is a kind that cannot be shown.
type Missing struct {
	// Kind that is missing.
	Kind string `json:"kind"`
	// Why, and what to do.
	Why string `json:"why"`
}

// EncodedLane is a [report.Lane] in JSON.
type EncodedLane []byte

// MarshalJSON returns it as it is.
func (l EncodedLane) MarshalJSON() ([]byte, error) { return json.RawMessage(l).MarshalJSON() }

// Encodes says what it is.
func (EncodedLane) Encodes() any { return report.Lane{} }

// LaneChange is what the stream tells: all lanes, or those that have changed since.
type LaneChange struct {
	// Reset means that Set are all lanes.
	Reset bool `json:"reset,omitempty"`
	// Set are lanes that are new or have changed.
	Set []EncodedLane `json:"set,omitempty"`
	// Gone are the keys of those that are no more.
	Gone []string `json:"gone,omitempty"`
}

// Alive is what the stream tells from time to time, so that its reader knows that it is there.
type Alive struct {
	// StaleSince is since when what is shown may be older than what the cluster has; left out while it is not.
	StaleSince *time.Time `json:"staleSince,omitempty"`
	// Why it may be.
	Why string `json:"why,omitempty"`
}

// ObjectLine is an object of a list.
type ObjectLine struct {
	report.ObjectReference
	// Ready is the status of the condition Ready; Unknown without one.
	Ready string `json:"ready"`
	// Message is that of the condition.
	Message string `json:"message,omitempty"`
	// Suspended, as the spec says.
	Suspended bool `json:"suspended,omitempty"`
	// Revision is what it has fetched or applied.
	Revision string `json:"revision,omitempty"`
	// Since is when the condition changed last.
	Since *time.Time `json:"since,omitempty"`
}

// FoundObjects are those in whose kind, namespace or name every word of a search occurs.
type FoundObjects struct {
	// Items are the first of them: those whose own name begins with a word, then the others.
	Items []report.ObjectReference `json:"items"`
	// More is how many there are beside Items.
	More int `json:"more,omitempty"`
}

// ObjectDetail is an object of any kind with what happened to it.
type ObjectDetail struct {
	report.ObjectReference
	// Suspended, as the spec says.
	Suspended bool `json:"suspended,omitempty"`
	// Conditions are those of the status.
	Conditions []report.Condition `json:"conditions"`
	// Events are the last ones, the oldest first.
	Events []report.Event `json:"events"`
	// EventsProblem says why Events, and with them Repairs, are not known.
	EventsProblem string `json:"eventsProblem,omitempty"`
	// Inventory is what a Kustomization has applied.
	Inventory []report.ObjectReference `json:"inventory"`
	// Dependencies are what a Kustomization waits for before it applies, as far as the user may read them.
	Dependencies []ObjectLine `json:"dependencies"`
	// Repairs are what a Kustomization undid lately of what somebody did to objects that it applies, as far as there are events
	// of it: the newest first.
	Repairs []report.Repair `json:"repairs"`
	// YAML is the whole object, without what only the API server needs.
	YAML string `json:"yaml"`
}

// CanaryDetail is a Canary with its pods.
type CanaryDetail struct {
	report.CanaryDescription
	// Pods are those of the target and of its primary, those that are not ready first.
	Pods []Pod `json:"pods"`
	// PodsProblem says why pods are not shown, or not all of them.
	PodsProblem string `json:"podsProblem,omitempty"`
	// EventsProblem says why Events are not known.
	EventsProblem string `json:"eventsProblem,omitempty"`
}

// PipelineDetail is a Pipeline with what happened to it.
type PipelineDetail struct {
	report.PipelineDescription
	// EventsProblem says why Events are not known.
	EventsProblem string `json:"eventsProblem,omitempty"`
}

// Timeline is what happened to the objects of a lane.
type Timeline struct {
	// Items are the events, the oldest first.
	Items []report.TimelineEvent `json:"items"`
	// EventsProblem says why not all events are known.
	EventsProblem string `json:"eventsProblem,omitempty"`
}

// Pod is one of a release.
type Pod struct {
	// Name of the pod.
	Name string `json:"name"`
	// Workload that made it: the target, or its primary.
	Workload string `json:"workload"`
	// Primary means that it is one that users have when no release is under way.
	Primary bool `json:"primary"`
	// Image is that of its first container.
	Image string `json:"image"`
	// Why it is not ready; left out if it is.
	Why string `json:"why,omitempty"`
	// Restarts of its containers.
	Restarts int `json:"restarts"`
	// Since is when it was made.
	Since time.Time `json:"since"`
}

// PolicyDetail is what an ImagePolicy, or a rule that is tried in its place, makes of every tag.
type PolicyDetail struct {
	report.Explanation
	// Pattern and Extract are those of the policy itself, whatever is tried; left out if it has none.
	Pattern string `json:"pattern,omitempty"`
	Extract string `json:"extract,omitempty"`
}

// AutomationDetail is an ImageUpdateAutomation with where its commit is to be seen.
type AutomationDetail struct {
	report.Automation
	// CommitURL is the page of the last commit at the forge; left out if it is not known which forge that is.
	CommitURL string `json:"commitURL,omitempty"`
}

// CommitDetail is a commit that Sluice pushed, or in which a stage got what it has.
type CommitDetail struct {
	report.Commit
	// Repository is the GitRepository that it is in.
	Repository report.ObjectReference `json:"repository"`
	// URL is the page of the commit at the forge; left out if it is not known which forge that is.
	URL string `json:"url,omitempty"`
	// Command shows the commit in a clone of the repository.
	Command string `json:"command"`
	// Problem says why it is not known what the commit changed; left out if it is.
	Problem string `json:"problem,omitempty"`
	// Pending means that it may be known in a moment: the commit is fetched, or the server did not answer.
	Pending bool `json:"pending,omitempty"`
}
