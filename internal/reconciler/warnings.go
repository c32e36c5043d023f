// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// maxWarnings are the lines of [WarningLines].
const maxWarnings = 20

// Warning is one line of the condition [sluicev1.WarningCondition].
type Warning struct{ Reason, Text string }

// SetWarnings sets the condition to what holds now, or takes it away, and returns what to add to
// the message of Ready.
func SetWarnings(obj Object, now time.Time, all []Warning) string {
	if len(all) == 0 {
		RemoveCondition(obj, sluicev1.WarningCondition)
		return ""
	}
	lines := make([]string, 0, len(all))
	for _, w := range all {
		lines = append(lines, w.Text)
	}
	SetCondition(obj, now, metav1.Condition{
		Type: sluicev1.WarningCondition, Status: metav1.ConditionTrue, Reason: all[0].Reason, Message: WarningLines(lines),
	})
	text := "; warning: " + lines[0]
	if more := len(lines) - 1; more > 0 {
		text += fmt.Sprintf(" (and %d more in the condition %s)", more, sluicev1.WarningCondition)
	}
	return text
}

// WarningLines puts lines below one another: twenty, and how many more there are.
func WarningLines(lines []string) string {
	text := strings.Join(lines[:min(len(lines), maxWarnings)], "\n")
	if more := len(lines) - maxWarnings; more > 0 {
		text += fmt.Sprintf("\nand %d more", more)
	}
	return text
}
