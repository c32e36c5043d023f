// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/shorten"

	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// commonStatus is what the conditions that all kinds have in common say.
type commonStatus struct {
	object     ObjectReference
	generation int64
	observed   int64
	suspended  bool
	retry      string // when a failure is tried again
	conditions []metav1.Condition
}

// cell begins a cell with what the conditions say. A condition that waits for something else is no failure. Since when an object is ready
// says nothing of the version that it stands at: it may have been ready through many.
func (s commonStatus) cell(column Column) Cell {
	found := Cell{Column: column, Object: &s.object, State: CellReady}
	ready := apimeta.FindStatusCondition(s.conditions, meta.ReadyCondition)
	stalled := apimeta.IsStatusConditionTrue(s.conditions, meta.StalledCondition)
	if ready != nil && ready.Status != metav1.ConditionTrue && !s.suspended {
		found.since(&ready.LastTransitionTime)
	}
	switch {
	case s.suspended:
		found.State, found.Message = CellSuspended, "spec.suspend is true"
		found.Remedies = []Remedy{{Text: "let it go on", Program: "kubectl",
			Command: s.kubectl("patch", `--type=merge -p '{"spec":{"suspend":false}}'`)}}
	case ready == nil:
		found.State, found.Message = CellUnknown, "no controller has looked at it yet"
	case stalled:
		found.State, found.Message = CellFailed, ready.Message
		found.Retry = onChange
		found.Remedies = []Remedy{{Text: "correct it in Git, or here", Program: "kubectl", Command: s.kubectl("edit")}}
	case s.observed < s.generation, ready.Status == metav1.ConditionUnknown:
		found.State, found.Message = CellMoving, ready.Message
	case ready.Status == metav1.ConditionFalse && patientReasons[ready.Reason]:
		found.State, found.Message = CellWaiting, ready.Message
	case ready.Status == metav1.ConditionFalse:
		found.State, found.Message = CellFailed, ready.Message
		found.Retry = s.retry
		found.Remedies = []Remedy{{Text: "try again now", Program: "kubectl", Command: s.kubectl("annotate",
			`--overwrite reconcile.fluxcd.io/requestedAt="$(date +%s)"`)}}
	case apimeta.IsStatusConditionTrue(s.conditions, meta.ReconcilingCondition):
		reconciling := apimeta.FindStatusCondition(s.conditions, meta.ReconcilingCondition)
		found.State, found.Message = CellMoving, reconciling.Message
		found.since(&reconciling.LastTransitionTime)
	}
	return found
}

// within says that something is tried again after an interval at the latest, or else when something happens.
func within(interval time.Duration, otherwise string) string {
	if interval <= 0 {
		return otherwise
	}
	return "within " + inWords(interval)
}

// onChange is when an object that is Stalled is tried again.
const onChange = "not before the object changes"

// patientReasons of Ready=False wait for another object, or for a person.
var patientReasons = map[string]bool{
	imagev1.DependencyNotReadyReason: true, "ArtifactNotFound": true, // Flux has the first for its kinds as well
}

// kubectl is the command that does something to the object.
func (s commonStatus) kubectl(verb string, rest ...string) string {
	words := append([]string{"-n", s.object.Namespace, verb, strings.ToLower(s.object.Kind), s.object.Name}, rest...)
	return strings.Join(words, " ")
}

// since is when the cell came to its value or state, if that is known.
func (c *Cell) since(at *metav1.Time) {
	if c.Since = nil; at != nil && !at.IsZero() {
		c.Since = &at.Time
	}
}

// valueSince is when a cell that is ready came to its value; one in another state says since when it is in that.
func (c *Cell) valueSince(at *metav1.Time) {
	if c.State == CellReady {
		c.since(at)
	}
}

// setState changes the state of a cell that is ready, since a time if that is known.
func (c *Cell) setState(state CellState, message string, since *metav1.Time) {
	if c.State == CellReady {
		c.State, c.Message = state, message
		c.since(since)
	}
}

// unlisted leaves open what became of an object that is named and not in its list, if it may be there all the same.
func (c *Cell) unlisted(g *graph, named ObjectReference) {
	if g.WhyUnlisted == nil {
		return
	}
	if why := g.WhyUnlisted(named.Kind, named.Namespace); why != "" {
		c.State, c.Retry = CellUnknown, ""
		c.Message = fmt.Sprintf("%s %s/%s: %s", named.Kind, named.Namespace, named.Name, why)
	}
}

// image is the newest tag that the registry has.
func (c *chain) image() Cell {
	r := c.repository
	if r == nil {
		cell := Cell{Column: ColumnImage, State: CellNone}
		if c.policy != nil {
			cell.unlisted(c.graph, ObjectReference{imagev1.ImageRepositoryKind, RepositoryOf(c.policy).Namespace, RepositoryOf(c.policy).Name})
		}
		return cell
	}
	cell := commonStatus{
		ObjectReference{imagev1.ImageRepositoryKind, r.Namespace, r.Name}, r.Generation, r.Status.ObservedGeneration,
		r.Spec.Suspend, within(r.Spec.Interval.Duration, onChange), r.Status.Conditions,
	}.cell(ColumnImage)
	if d := c.policy.Status.Decision; d != nil && len(d.Candidates) > 0 {
		cell.Value, cell.Full = d.Candidates[0].Tag, r.Spec.Image+":"+d.Candidates[0].Tag
		cell.valueSince(d.Candidates[0].FirstSeen)
	} else if scan := r.Status.LastScanResult; scan != nil {
		cell.Value, cell.Full = fmt.Sprintf("%d tags", scan.TagCount), r.Spec.Image
	}
	return cell
}

// policyCell is the tag that was chosen, and why a better one was not.
func (c *chain) policyCell() Cell {
	p := c.policy
	if p == nil {
		return Cell{Column: ColumnPolicy, State: CellNone}
	}
	retry := time.Duration(0)
	if p.Spec.Interval != nil {
		retry = p.Spec.Interval.Duration
	}
	cell := commonStatus{
		ObjectReference{imagev1.ImagePolicyKind, p.Namespace, p.Name}, p.Generation, p.Status.ObservedGeneration,
		p.Spec.Suspend, within(retry, "with the next scan"), p.Status.Conditions,
	}.cell(ColumnPolicy)
	latest := p.Status.LatestRef
	if latest == nil {
		return cell
	}
	cell.Value, cell.Full = cmp.Or(latest.Tag, shortArtifact(latest.Digest)), latest.String()
	cell.valueSince(p.Status.LatestRefTime)
	if d := p.Status.Decision; d != nil && len(d.Candidates) > 0 && d.Candidates[0].Dropped != "" {
		cell.setState(CellWaiting, d.Candidates[0].Tag+" "+d.Candidates[0].Dropped, d.Candidates[0].FirstSeen)
	}
	cell.Remedies = append(cell.Remedies, Remedy{Text: "see what became of every tag",
		Command: "explain policy " + p.Name + " -n " + p.Namespace})
	return cell
}

// commit is the last commit that was pushed, and what is still to be written.
func (c *chain) commit() Cell {
	a := c.automation
	if a == nil {
		return c.stageCommit()
	}
	cell := commonStatus{
		ObjectReference{imagev1.ImageUpdateAutomationKind, a.Namespace, a.Name}, a.Generation, a.Status.ObservedGeneration,
		a.Spec.Suspend, within(a.Spec.Interval.Duration, onChange), a.Status.Conditions,
	}.cell(ColumnCommit)
	cell.Value, cell.Full = shorten.Commit(a.Status.LastPushCommit), a.Status.LastPushCommit
	cell.valueSince(a.Status.LastPushTime)
	for _, held := range a.Status.Held {
		if held.Policy == c.policy.Name {
			cell.setState(CellWaiting, WhyHeld(a, held), &held.Since)
			cell.Remedies = append(cell.Remedies, Remedy{Text: "write it again",
				Command: "release automation " + a.Name + " -n " + a.Namespace})
		}
	}
	if pr := a.Status.PullRequest; pr != nil {
		if about := AboutPullRequest(pr); about != "" {
			cell.setState(CellWaiting, about, a.Status.LastPushTime)
			cell.Remedies = append(cell.Remedies, Remedy{Text: "look at the pull request", URL: pr.URL})
		}
	}
	if latest := c.policy.Status.LatestRef; latest != nil && a.Status.ObservedPolicies[c.policy.Name] != *latest {
		cell.setState(CellMoving, "to write "+latest.Tag, c.policy.Status.LatestRefTime)
	}
	return cell
}

// stageCommit is the commit of the stage that the lane is in, where a Pipeline writes the image.
func (c *chain) stageCommit() Cell {
	found := Cell{Column: ColumnCommit, State: CellNone}
	for _, p := range c.pipelinesOfPolicy() {
		for i := range p.Spec.Stages {
			s := statusOf(p, p.Spec.Stages[i].Name)
			if !c.isJudgedIn(p, &p.Spec.Stages[i]) || s.Commit == "" {
				continue
			}
			found = Cell{Column: ColumnCommit, State: CellReady, Object: &ObjectReference{sluicev1.PipelineKind, p.Namespace, p.Name},
				Value: shorten.Commit(s.Commit), Full: s.Commit}
			found.since(s.Since)
			if s.Phase == sluicev1.StageWriting || s.Phase == sluicev1.StageRollingBack {
				found.State, found.Message = CellMoving, s.Message
			}
		}
	}
	return found
}

// isJudgedIn reports whether a stage is judged by the Kustomization of the lane, or by its Canary.
func (c *chain) isJudgedIn(p *sluicev1.Pipeline, stage *sluicev1.Stage) bool {
	k, canary := c.kustomization, c.canary
	return k != nil && isJudgedBy(p, stage, ObjectReference{Kind: "Kustomization", Namespace: k.Namespace, Name: k.Name}) ||
		canary != nil && isJudgedBy(p, stage, ObjectReference{Kind: flaggerv1.CanaryKind, Namespace: canary.Namespace, Name: canary.Name})
}

// sourceCell is the revision that was fetched, and whether the last commit is in it.
func (c *chain) sourceCell() Cell {
	s := c.source
	if s == nil {
		if c.kustomization == nil {
			return Cell{Column: ColumnSource, State: CellNone}
		}
		ref := c.kustomization.Spec.SourceRef
		named := ObjectReference{ref.Kind, cmp.Or(ref.Namespace, c.kustomization.Namespace), ref.Name}
		cell := Cell{
			Column: ColumnSource, State: CellFailed, Retry: "as soon as it is there",
			Message: fmt.Sprintf("%s %s/%s, which Kustomization %s names, is not there",
				named.Kind, named.Namespace, named.Name, c.kustomization.Name),
		}
		cell.unlisted(c.graph, named)
		return cell
	}
	cell := commonStatus{
		ObjectReference{s.Kind, s.Namespace, s.Name}, s.Generation, s.ObservedGeneration,
		s.Suspended, within(s.Interval, "by who writes it"), s.Conditions,
	}.cell(ColumnSource)
	if s.Artifact == nil {
		return cell
	}
	cell.Value, cell.Full = shortArtifact(s.Artifact.Revision), s.Artifact.Revision
	cell.valueSince(&s.Artifact.LastUpdateTime)
	if a := c.automation; a != nil && c.writesSource(a) && c.behind(a) {
		cell.setState(CellMoving, "to fetch "+shorten.Commit(a.Status.LastPushCommit), a.Status.LastPushTime)
	}
	return cell
}

// behind reports whether the source was fetched before the last commit was pushed to the branch that it reads.
func (c *chain) behind(a *imagev1.ImageUpdateAutomation) bool {
	pushed, artifact := a.Status.LastPushTime, c.source.Artifact
	return a.Status.PullRequest == nil && pushed != nil && a.Status.LastPushCommit != "" &&
		!strings.Contains(artifact.Revision, a.Status.LastPushCommit) && artifact.LastUpdateTime.Before(pushed)
}

// apply is the revision that was applied.
func (c *chain) apply() Cell {
	k := c.kustomization
	if k == nil {
		cell := Cell{Column: ColumnApply, State: CellNone}
		if w := c.target; w != nil && w.Kustomization.Name != "" {
			cell.unlisted(c.graph, ObjectReference{"Kustomization", w.Kustomization.Namespace, w.Kustomization.Name})
		}
		return cell
	}
	retry := k.Spec.Interval.Duration
	if k.Spec.RetryInterval != nil {
		retry = k.Spec.RetryInterval.Duration
	}
	cell := commonStatus{
		ObjectReference{"Kustomization", k.Namespace, k.Name}, k.Generation, k.Status.ObservedGeneration,
		k.Spec.Suspend, within(retry, onChange), k.Status.Conditions,
	}.cell(ColumnApply)
	cell.Value, cell.Full = shortArtifact(k.Status.LastAppliedRevision), k.Status.LastAppliedRevision
	cell.valueSince(c.appliedAt())
	if s := c.source; s != nil && s.Artifact != nil && s.Artifact.Revision != k.Status.LastAppliedRevision {
		cell.setState(CellMoving, "to apply "+shortArtifact(s.Artifact.Revision), &s.Artifact.LastUpdateTime)
	}
	return cell
}

// appliedAt is when the revision was applied that is; nil if that is not known. The history tells revisions apart by what was built from
// them: of one that changed nothing of that it has the time of an earlier one.
func (c *chain) appliedAt() *metav1.Time {
	applied, latest := c.kustomization.Status.LastAppliedRevision, c.kustomization.Status.History.Latest()
	if latest == nil || latest.LastReconciledStatus != meta.ReconciliationSucceededReason || latest.Metadata["revision"] != applied ||
		c.source == nil || c.source.Artifact == nil || c.source.Artifact.Revision != applied ||
		latest.FirstReconciled.Before(&c.source.Artifact.LastUpdateTime) {
		return nil
	}
	return &latest.FirstReconciled
}
