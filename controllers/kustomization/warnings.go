// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-cd/sluice/apply"
	"github.com/sluice-cd/sluice/apply/build"
	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

// warningCondition is True while something was applied that is probably a mistake, which
// upstream passes over. Ready is True beside it, since the manifests work as they do there,
// and its message has the first of the warnings: that is where people look.
const warningCondition = "Warning"

// Reasons of warnings beside those of a build.
const (
	reasonSharedObject  = "SharedObject"
	reasonTimeoutRaised = "TimeoutRaised"
)

// Bounds of what is told.
const (
	maxWarnings      = 20  // lines
	maxWarningLength = 400 // characters of a line
)

// noteBuild keeps what the last build warned of, and has it told if it is news.
func (run *run) noteBuild(warnings []build.Warning) {
	state, told := run.state, run.state.told
	state.warnings, state.told = nil, map[string]bool{}
	before := ""
	if c := apimeta.FindStatusCondition(run.k.Status.Conditions, warningCondition); c != nil {
		before = c.Message // as an earlier process has told it
	}
	// Of what an earlier process has told and not listed nothing is known.
	unlisted := told == nil && moreLines.MatchString(before)
	byReason, news := map[string][]string{}, map[string]bool{}
	for _, w := range warnings {
		line := shorten(state.mask.Text(w.Text)) // values are hidden first, for half a value is not recognised
		state.warnings = append(state.warnings, build.Warning{Reason: w.Reason, Text: line})
		state.told[line] = true
		byReason[w.Reason] = append(byReason[w.Reason], line)
		news[w.Reason] = news[w.Reason] || !unlisted && !told[line] && !strings.Contains(before, line)
	}
	for _, reason := range []string{build.UnknownFields, build.NothingMatched} {
		if news[reason] {
			run.advise(reason, list(byReason[reason]))
		}
	}
}

// warnings are all that holds now, with what is shared with other owners.
func (run *run) warnings(sharing []apply.Shared) []build.Warning {
	all := append([]build.Warning{}, run.state.warnings...)
	for _, shared := range sharing {
		all = append(all, build.Warning{Reason: reasonSharedObject, Text: shorten(shared.String())})
	}
	if asked := run.k.Spec.Timeout; asked != nil && asked.Duration < run.k.GetTimeout() {
		all = append(all, build.Warning{Reason: reasonTimeoutRaised, Text: fmt.Sprintf(
			"spec.timeout: %s is less than the least, and counts as %s", asked.Duration, run.k.GetTimeout())})
	}
	return all
}

// shared are the objects that other owners apply as well. Those that are suspended apply
// nothing until they are resumed: that is how objects change hands.
func (r *Reconciler) shared(ctx context.Context, run *run) []apply.Shared {
	known := map[decide.Owner]bool{}
	idle := func(owner decide.Owner) bool {
		found, asked := known[owner]
		if !asked {
			var k kustomizev1.Kustomization
			err := r.client.Get(ctx, types.NamespacedName{Namespace: owner.Namespace, Name: owner.Name}, &k)
			found = apierrors.IsNotFound(err) || err == nil && k.Spec.Suspend
			known[owner] = found
		}
		return found
	}
	all := run.state.objects.Shared()
	for i := range all {
		all[i].Others = slices.DeleteFunc(all[i].Others, idle)
	}
	return slices.DeleteFunc(all, func(s apply.Shared) bool { return len(s.Others) == 0 })
}

// setWarning sets the condition, and returns what to add to the message of Ready. Before
// the first build of a process nothing is known, and the condition stays.
func (run *run) setWarning(now time.Time, sharing []apply.Shared) string {
	if run.state.reads == nil {
		return ""
	}
	all := run.warnings(sharing)
	if len(all) == 0 {
		reconciler.RemoveCondition(run.k, warningCondition)
		return ""
	}
	lines := make([]string, 0, len(all))
	for _, w := range all {
		lines = append(lines, w.Text)
	}
	reconciler.SetCondition(run.k, now, metav1.Condition{
		Type: warningCondition, Status: metav1.ConditionTrue, Reason: all[0].Reason, Message: list(lines),
	})
	text := "; warning: " + lines[0]
	if more := len(lines) - 1; more > 0 {
		text += fmt.Sprintf(" (and %d more in the condition %s)", more, warningCondition)
	}
	return text
}

// moreLines is how a list of more lines than are shown ends.
var moreLines = regexp.MustCompile(`\nand [0-9]+ more$`)

// list puts lines below one another, at most a few.
func list(lines []string) string {
	text := strings.Join(lines[:min(len(lines), maxWarnings)], "\n")
	if more := len(lines) - maxWarnings; more > 0 {
		text += fmt.Sprintf("\nand %d more", more)
	}
	return text
}

func shorten(line string) string {
	if shown := []rune(line); len(shown) > maxWarningLength {
		return string(shown[:maxWarningLength]) + "..."
	}
	return line
}
