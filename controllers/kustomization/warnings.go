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
	"k8s.io/apimachinery/pkg/types"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/apply"
	"github.com/sluice-cd/sluice/apply/build"
	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/shorten"
)

// Reasons of warnings beside those of a build.
const (
	sharedObjectReason  = "SharedObject"
	timeoutRaisedReason = "TimeoutRaised"
)

// maxWarningLength is how many characters of a line are told.
const maxWarningLength = 400

// noteBuild keeps what the last build warned of, and has it told if it is news.
func (run *run) noteBuild(warnings []build.Warning) {
	state, reported := run.state, run.state.reportedWarnings
	state.warnings, state.reportedWarnings = nil, map[string]bool{}
	before := ""
	if c := apimeta.FindStatusCondition(run.k.Status.Conditions, sluicev1.WarningCondition); c != nil {
		before = c.Message // as an earlier process has told it
	}
	// Of what an earlier process has told and not listed nothing is known.
	unlisted := reported == nil && moreLines.MatchString(before)
	byReason, news := map[string][]string{}, map[string]bool{}
	for _, w := range warnings {
		// Values are hidden first, for half a value is not recognised.
		line := shorten.Runes(state.mask.Text(w.Text), maxWarningLength, shorten.Dots)
		state.warnings = append(state.warnings, build.Warning{Reason: w.Reason, Text: line})
		state.reportedWarnings[line] = true
		byReason[w.Reason] = append(byReason[w.Reason], line)
		news[w.Reason] = news[w.Reason] || !unlisted && !reported[line] && !strings.Contains(before, line)
	}
	for _, reason := range []string{build.UnknownFields, build.NothingMatched} {
		if news[reason] {
			run.advise(reason, reconciler.WarningLines(byReason[reason]))
		}
	}
}

// warnings are all that holds now, with what is shared with other owners.
func (run *run) warnings(sharing []apply.SharedObject) []reconciler.Warning {
	var all []reconciler.Warning
	for _, w := range run.state.warnings {
		all = append(all, reconciler.Warning{Reason: w.Reason, Text: w.Text})
	}
	for _, shared := range sharing {
		all = append(all, reconciler.Warning{Reason: sharedObjectReason, Text: shorten.Runes(shared.String(), maxWarningLength, shorten.Dots)})
	}
	if asked := run.k.Spec.Timeout; asked != nil && asked.Duration < run.k.GetTimeout() {
		all = append(all, reconciler.Warning{Reason: timeoutRaisedReason, Text: fmt.Sprintf(
			"spec.timeout: %s is less than the least, and counts as %s", asked.Duration, run.k.GetTimeout())})
	}
	return all
}

// sharedObjects are the objects that other owners apply as well. Those that are suspended apply
// nothing until they are resumed: that is how objects change hands.
func (r *Reconciler) sharedObjects(ctx context.Context, run *run) []apply.SharedObject {
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
	return slices.DeleteFunc(all, func(s apply.SharedObject) bool { return len(s.Others) == 0 })
}

// setWarning sets the condition, and returns what to add to the message of Ready. Before
// the first build of a process nothing is known, and the condition stays.
func (run *run) setWarning(now time.Time, sharing []apply.SharedObject) string {
	if run.state.reads == nil {
		return ""
	}
	return reconciler.SetWarnings(run.k, now, run.warnings(sharing))
}

// moreLines is how a list of more lines than are shown ends.
var moreLines = regexp.MustCompile(`\nand [0-9]+ more$`)
