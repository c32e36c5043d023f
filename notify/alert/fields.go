// SPDX-License-Identifier: Apache-2.0

package alert

import (
	"fmt"
	"strconv"
	"strings"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// Field is a line beneath a message.
type Field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// maxFields bounds a message: chat services cut or refuse long ones.
const maxFields = 30

// fields are those of a message: the ones of Flagger, then those about the release.
func (n *Notifier) fields(a Alert) []Field {
	var all []Field
	if n.opts.ClusterName != "" {
		all = append(all, Field{"Cluster", n.opts.ClusterName})
	}
	all = append(all, specFields(a.Canary)...)
	all = append(all, releaseFields(a.Canary)...)
	all = append(all, a.Fields...)
	return all[:min(len(all), maxFields)]
}

// specFields are those that are read from the spec, as in Flagger.
func specFields(c *flaggerv1.Canary) []Field {
	all := []Field{
		{"Target", fmt.Sprintf("%s/%s.%s", c.Spec.TargetRef.Kind, c.Spec.TargetRef.Name, c.Namespace)},
		{"Failed checks threshold", strconv.Itoa(c.Spec.Analysis.GetThreshold())},
		{"Progress deadline", fmt.Sprintf("%ds", int(c.ProgressDeadline().Seconds()))},
	}
	if routing := routing(c); routing != "" {
		all = append(all, Field{"Traffic routing", routing})
	}
	return all
}

func routing(c *flaggerv1.Canary) string {
	a := c.Spec.Analysis
	switch strategy := c.DeploymentStrategy(); {
	case strategy == flaggerv1.StrategyABTesting:
		return "A/B Testing"
	case strategy == flaggerv1.StrategyBlueGreen:
		return "Blue/Green"
	case a != nil && a.StepWeight > 0:
		return fmt.Sprintf("Weight step: %d max: %d", a.StepWeight, a.MaxWeight)
	case a != nil && len(a.StepWeights) > 0:
		steps := strings.Trim(strings.Join(strings.Fields(fmt.Sprint(a.StepWeights)), ","), "[]")
		return fmt.Sprintf("Weight steps: %s max: %d", steps, a.MaxWeight)
	default:
		return ""
	}
}

// releaseFields are those of the last release: images, weight, and the measurements of
// its last step.
func releaseFields(c *flaggerv1.Canary) []Field {
	if len(c.Status.History) == 0 {
		return nil
	}
	last := c.Status.History[0]
	var all []Field
	if len(last.Images) > 0 {
		all = append(all, Field{"Image", strings.Join(last.Images, ", ")})
	}
	all = append(all, Field{"Canary weight", strconv.Itoa(c.Status.CanaryWeight)})
	if len(last.Steps) == 0 {
		return all
	}
	for _, m := range last.Steps[len(last.Steps)-1].Measured {
		value := m.Failure
		if m.Value != nil {
			value = strconv.FormatFloat(*m.Value, 'f', -1, 64)
		}
		all = append(all, Field{m.Name, value})
	}
	return all
}
