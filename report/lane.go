// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"slices"
	"strings"
	"time"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Lane is the way of one application's versions from the registry to its users: a cell for each step.
type Lane struct {
	// Key is unique, and stays as long as the lane is about the same application.
	Key string `json:"key"`
	// Namespace of the application.
	Namespace string `json:"namespace"`
	// Name of the application: that of its workload, or of the object of the lane that is nearest to it.
	Name string `json:"name"`
	// State is the state of the cell that matters most: one that failed, or else waits for a person, or else moves.
	State CellState `json:"state"`
	// Column is the one of the cell that State is about; left out while all is well.
	Column Column `json:"column,omitempty"`
	// Cells are in the order of the columns, one for each.
	Cells []Cell `json:"cells"`
	// Stages are the stages of the pipelines that carry the application's image.
	Stages []LaneStage `json:"stages"`
	// Target is the workload that is applied, where users reach another one: that of a Canary.
	Target *ObjectReference `json:"target,omitempty"`
	// Image is the one that the cell Live is about, without a tag; left out if nothing runs.
	Image string `json:"image,omitempty"`
	// Coming is the version of Image that is applied while users have another one: a Canary releases it, or has rolled it back.
	Coming string `json:"coming,omitempty"`
}

// Column is a step on the way from the registry to the users.
type Column string

// The columns, in their order.
const (
	ColumnImage  Column = "image"
	ColumnPolicy Column = "policy"
	ColumnCommit Column = "commit"
	ColumnSource Column = "source"
	ColumnApply  Column = "apply"
	ColumnCanary Column = "canary"
	ColumnLive   Column = "live"
)

// CellState is how a step stands.
type CellState string

// The states, from the one that matters most.
const (
	// CellFailed needs somebody: it does not go on as it is, or only tries again.
	CellFailed CellState = "failed"
	// CellWaiting waits for a person, for a time or for something else that was asked for.
	CellWaiting CellState = "waiting"
	// CellSuspended does nothing before a person lets it.
	CellSuspended CellState = "suspended"
	// CellMoving is under way.
	CellMoving CellState = "moving"
	// CellUnknown has not been looked at by a controller yet, or may not be seen.
	CellUnknown CellState = "unknown"
	// CellReady has done its work.
	CellReady CellState = "ready"
	// CellNone means that the application has no such step.
	CellNone CellState = "none"
)

// urgency orders states: what matters most comes first.
var urgency = []CellState{CellFailed, CellWaiting, CellMoving, CellSuspended, CellUnknown, CellReady, CellNone}

// Cell is a step of a lane.
type Cell struct {
	// Column of the cell.
	Column Column `json:"column"`
	// State of the step.
	State CellState `json:"state"`
	// Object that does the step; left out if there is none.
	Object *ObjectReference `json:"object,omitempty"`
	// Value is what the step stands at, in a word: a tag, an abbreviated commit, a weight.
	Value string `json:"value,omitempty"`
	// Full is the value in full, if Value abbreviates it.
	Full string `json:"full,omitempty"`
	// Since is when it came to this value, or, if it is not ready, to this state; left out if that is not known.
	Since *time.Time `json:"since,omitempty"`
	// Message says what it does, waits for, or why it failed.
	Message string `json:"message,omitempty"`
	// Retry says when it is tried again, if it failed.
	Retry string `json:"retry,omitempty"`
	// Remedies are what a person can do about it.
	Remedies []Remedy `json:"remedies,omitempty"`
}

// ObjectReference names an object of the cluster.
type ObjectReference struct {
	// Kind of the object.
	Kind string `json:"kind"`
	// Namespace of the object.
	Namespace string `json:"namespace"`
	// Name of the object.
	Name string `json:"name"`
}

// LaneStage is a stage of a Pipeline that carries an application's image.
type LaneStage struct {
	// Pipeline is its name.
	Pipeline string `json:"pipeline"`
	// Namespace of the Pipeline.
	Namespace string `json:"namespace"`
	// Name of the stage.
	Name string `json:"name"`
	// State of the stage.
	State CellState `json:"state"`
	// Phase of the stage.
	Phase sluicev1.StagePhase `json:"phase,omitempty"`
	// Has is the version that the stage has, in a word.
	Has string `json:"has,omitempty"`
	// Since is when the version came.
	Since *time.Time `json:"since,omitempty"`
	// Wants is the version that the stage wants, if it is another one.
	Wants string `json:"wants,omitempty"`
	// Message says what the stage waits for, or why it failed.
	Message string `json:"message,omitempty"`
	// WaitingSince is since when it waits for that, or has failed; left out if that is not known.
	WaitingSince *time.Time `json:"waitingSince,omitempty"`
	// Retry says when it is tried again, if it failed.
	Retry string `json:"retry,omitempty"`
	// Remedies are what a person can do about it.
	Remedies []Remedy `json:"remedies,omitempty"`
	// Here means that the stage is judged by what applies the application: it has come to the stage when it has come to this lane.
	Here bool `json:"here,omitempty"`
}

// Workload is what runs: the part of a Deployment, StatefulSet or DaemonSet that lanes are made of.
type Workload struct {
	// Kind of the workload.
	Kind string
	// Namespace of the workload.
	Namespace string
	// Name of the workload.
	Name string
	// Images of its containers, as written in the template.
	Images []string
	// Kustomization that applied it, by Flux's labels; the name is empty without one.
	Kustomization metav1.ObjectMeta
	// Primary means that a Canary made it for its target.
	Primary bool
	// Wanted is how many pods there should be.
	Wanted int32
	// Updated pods are of the newest template.
	Updated int32
	// Available pods answer.
	Available int32
	// Stuck says why the rollout does not go on; empty while it does.
	Stuck string
	// Since is when it got stuck, or lost its last pod, or else when the last rollout ended; nil if that is not known.
	Since *metav1.Time
}

// Source is the part of a GitRepository, OCIRepository, Bucket or ExternalArtifact that lanes are made of.
type Source struct {
	// Kind of the source.
	Kind string
	metav1.ObjectMeta
	// Suspended, as the spec says.
	Suspended bool
	// Interval of the spec; 0 without one.
	Interval time.Duration
	// ObservedGeneration of the status.
	ObservedGeneration int64
	// Conditions of the status.
	Conditions []metav1.Condition
	// Artifact of the status.
	Artifact *meta.Artifact
}

// Objects are what lanes are made of, each list in any order.
type Objects struct {
	Repositories   []imagev1.ImageRepository
	Policies       []imagev1.ImagePolicy
	Automations    []imagev1.ImageUpdateAutomation
	Sources        []Source
	Kustomizations []kustomizev1.Kustomization
	Canaries       []flaggerv1.Canary
	Pipelines      []sluicev1.Pipeline
	Workloads      []Workload
	// WhyUnlisted says why the objects of a kind in a namespace are not in the list of their kind, whether or not there are any;
	// empty if they are. Without it all are.
	WhyUnlisted func(kind, namespace string) string
}

// Lanes reports one lane for each application: for every workload that a policy chooses the image of, that a Canary
// releases or that a Kustomization applies, and for every policy and Kustomization that none of those belongs to. Those
// that need a person come first.
func Lanes(o Objects) List[Lane] {
	list := List[Lane]{Items: []Lane{}}
	for _, chain := range newGraph(o).chains() {
		list.Items = append(list.Items, chain.lane())
	}
	slices.SortStableFunc(list.Items, func(a, b Lane) int {
		return cmp.Or(
			cmp.Compare(rankOf(a.State), rankOf(b.State)),
			strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name), strings.Compare(a.Key, b.Key))
	})
	return list
}

// Objects are the objects that the lane is made of, each once.
func (l Lane) Objects() []ObjectReference {
	var found []ObjectReference
	for _, cell := range l.Cells {
		if cell.Object != nil && !slices.Contains(found, *cell.Object) {
			found = append(found, *cell.Object)
		}
	}
	if l.Target != nil {
		found = append(found, *l.Target)
	}
	for _, stage := range l.Stages {
		if of := (ObjectReference{sluicev1.PipelineKind, stage.Namespace, stage.Pipeline}); !slices.Contains(found, of) {
			found = append(found, of)
		}
	}
	return found
}

// rankOf puts what needs a person before what moves, then what is suspended or not known, and what is ready last.
func rankOf(state CellState) int {
	if state == CellSuspended {
		state = CellUnknown
	}
	return slices.Index(urgency, state)
}

// lane reports a chain of objects.
func (c *chain) lane() Lane {
	found := Lane{
		Key: c.key(), Namespace: c.namespace, Name: c.name, State: CellReady, Stages: c.stages(),
		Cells: []Cell{c.image(), c.policyCell(), c.commit(), c.sourceCell(), c.apply(), c.canaryCell(), c.live()},
	}
	if c.workload != nil {
		found.Image, found.Coming = c.graph.imageName(c.imageOf(c.workload.Images)), c.coming()
	}
	if c.target != c.workload {
		found.Target = &ObjectReference{c.target.Kind, c.target.Namespace, c.target.Name}
	}
	worst := len(urgency)
	for _, cell := range found.Cells {
		if at := slices.Index(urgency, cell.State); at < worst {
			worst, found.State, found.Column = at, cell.State, cell.Column
		}
	}
	for _, stage := range found.Stages {
		if at := slices.Index(urgency, stage.State); at < worst {
			worst, found.State, found.Column = at, stage.State, ColumnLive
		}
	}
	if found.State == CellReady || found.State == CellNone {
		found.State, found.Column = CellReady, ""
	}
	return found
}
