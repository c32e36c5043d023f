// SPDX-License-Identifier: Apache-2.0

package imageupdateautomation

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/go-git/go-git/v5/plumbing"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/report"
	"github.com/sluice-cd/sluice/writeback"
)

// stillHeld are the entries of the status that hold on: of policies that are not
// ready now and may come back with the same choice, and of those that have a
// marker that would be written. Where someone wrote the choice after all there is
// nothing to hold.
func stillHeld(a *imagev1.ImageUpdateAutomation, seen observation, found writeback.Report) []imagev1.HeldUpdate {
	withheld := map[string]bool{}
	for _, line := range found.Lines() {
		if line.Skip == string(writeback.Reverted) {
			withheld[line.Policy] = true
		}
	}
	var still []imagev1.HeldUpdate
	for _, h := range a.Status.Held {
		waits := seen.policies.Absent[h.Policy] == writeback.NotReady && !seen.released
		if waits || seen.policies.Held[h.Policy] && withheld[h.Policy] {
			still = append(still, h)
		}
	}
	return still
}

// newlyHeld are the entries for updates that were found reverted.
func newlyHeld(reverted []writeback.RevertedUpdate, now metav1.Time) []imagev1.HeldUpdate {
	var held []imagev1.HeldUpdate
	for _, u := range reverted {
		held = append(held, imagev1.HeldUpdate{
			Policy: u.Policy, Ref: writeback.RefOf(u.Image),
			Reverted: nameOf(u.Reverted), By: nameOf(u.By), Since: now,
		})
	}
	return held
}

func nameOf(commit plumbing.Hash) string {
	if commit.IsZero() {
		return ""
	}
	return commit.String()
}

// restored are the values that were put back in place of what a policy chose, each
// once.
func restored(found writeback.Report, policy string) []string {
	var values []string
	for _, line := range found.Lines() {
		if line.Policy == policy && line.Skip == string(writeback.Reverted) && len(values) < maxListed && !slices.Contains(values, line.Current) {
			values = append(values, line.Current)
		}
	}
	return values
}

// heldEvents tell once of each update that is held from now on.
func heldEvents(a *imagev1.ImageUpdateAutomation, written writeback.Result) []reconciler.Event {
	var events []reconciler.Event
	for _, u := range written.Reverted {
		ref := writeback.RefOf(u.Image)
		held := imagev1.HeldUpdate{Policy: u.Policy, Ref: ref, By: u.By.String()}
		events = append(events, reconciler.Event{
			Type: corev1.EventTypeWarning, Reason: imagev1.UpdateHeldReason,
			Message: report.WhyHeld(a, held),
			Metadata: map[string]string{
				imagev1.CommitAnnotation: u.By.String(), imagev1.PolicyAnnotation: u.Policy,
				imagev1.OldAnnotation: strings.Join(restored(written.Report, u.Policy), ","), imagev1.NewAnnotation: ref.String(),
			},
		})
	}
	return events
}
