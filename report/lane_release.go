// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"strings"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"

	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// canaryCell is the weight or the phase of the release.
func (c *chain) canaryCell() Cell {
	if c.canary == nil {
		return Cell{Column: ColumnCanary, State: CellNone}
	}
	is := OfCanary(c.canary)
	cell := Cell{Column: ColumnCanary, State: canaryState(is), Object: &ObjectReference{flaggerv1.CanaryKind, is.Namespace, is.Name},
		Value: string(is.Phase), Since: is.Since, Message: is.Message}
	command := func(verb string) string {
		return strings.Join([]string{"canary", verb, is.Name, "-n", is.Namespace}, " ")
	}
	switch cell.State {
	case CellSuspended:
		cell.Message = "spec.suspend is true"
	case CellUnknown:
		cell.Message = "no controller has looked at it yet"
	case CellFailed:
		cell.Retry = retryOf(c.canary)
		cell.Remedies = []Remedy{{Text: "see what it measured", Command: command("describe")}}
		if is.Retriable {
			cell.Remedies = append(cell.Remedies, Remedy{Text: "try it again", Command: command("retry")})
		}
	case CellWaiting:
		cell.Message = "held: " + is.HeldBy()
		cell.since(&is.Hold.Since)
		cell.Remedies = []Remedy{{Text: "see what holds it, and decide", Command: command("describe")}}
	case CellMoving:
		cell.Remedies = []Remedy{{Text: "watch it", Command: command("watch")}}
	case CellReady, CellNone:
	}
	if is.Weight > 0 {
		cell.Value = fmt.Sprintf("%d %%", is.Weight)
		cell.Full = fmt.Sprintf("%s, %d %% of the users, step %d of %d", is.Phase, is.Weight, is.Stage, is.Stages)
	}
	return cell
}

// retryOf says when a Canary is tried again that has failed, or that its controller cannot work on.
func retryOf(c *flaggerv1.Canary) string {
	if c.Status.Phase == flaggerv1.CanaryPhaseFailed {
		again := fmt.Sprintf("not before %s %s changes", c.Spec.TargetRef.Kind, c.Spec.TargetRef.Name)
		if isRetriable(c) {
			again += ", or somebody retries"
		}
		return again
	}
	if apimeta.IsStatusConditionTrue(c.GetConditions(), meta.StalledCondition) {
		return onChange
	}
	interval, _ := c.Spec.Analysis.GetInterval() // which says the default of one that cannot be read
	return within(interval, onChange)
}

// canaryState is what the phase of a Canary means to who looks at it.
func canaryState(is Canary) CellState {
	switch {
	case is.Suspended:
		return CellSuspended
	case is.Phase == "":
		return CellUnknown
	case is.Phase == flaggerv1.CanaryPhaseFailed, is.Ready == string(metav1.ConditionFalse):
		return CellFailed
	case is.Hold != nil && !is.Hold.Approved:
		return CellWaiting
	case is.Phase != flaggerv1.CanaryPhaseInitialized && is.Phase != flaggerv1.CanaryPhaseSucceeded:
		return CellMoving
	default:
		return CellReady
	}
}

// live is what the users have.
func (c *chain) live() Cell {
	w := c.workload
	if w == nil {
		cell := Cell{Column: ColumnLive, State: CellNone}
		if c.canary != nil {
			cell.unlisted(c.graph, ObjectReference{c.canary.Spec.TargetRef.Kind, c.canary.Namespace, c.canary.Spec.TargetRef.Name})
		}
		return cell
	}
	cell := Cell{Column: ColumnLive, State: CellReady, Object: &ObjectReference{w.Kind, w.Namespace, w.Name}}
	cell.since(w.Since)
	if image := c.imageOf(w.Images); image != "" {
		cell.Value, cell.Full = tagOf(image), image
	}
	switch {
	case w.Stuck != "":
		cell.State, cell.Message = CellFailed, w.Stuck
	case w.Wanted == 0:
		cell.Message = "scaled to zero"
	case w.Available == 0:
		cell.State, cell.Message = CellFailed, "no pod is available"
	case w.Updated < w.Wanted || w.Available < w.Wanted:
		cell.State, cell.Since = CellMoving, nil
		cell.Message = fmt.Sprintf("%d of %d pods updated, %d available", w.Updated, w.Wanted, w.Available)
	}
	if cell.State == CellFailed {
		cell.Retry = "by Kubernetes, ever less often"
		cell.Remedies = []Remedy{{Text: "see why", Program: "kubectl",
			Command: "-n " + w.Namespace + " describe " + strings.ToLower(w.Kind) + " " + w.Name}}
	}
	return cell
}
