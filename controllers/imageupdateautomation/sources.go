// SPDX-License-Identifier: Apache-2.0

package imageupdateautomation

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/git/fetchrequest"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/shorten"
)

// requestSources has the sources of the pushed branch fetch it. Those that
// this process serves hear of it inside the process; others are asked through the
// API, whoever serves them. One that could not be asked at the time of the push, or
// not any more because the process ended, is asked at the next run.
func (r *Reconciler) requestSources(
	ctx context.Context, a *imagev1.ImageUpdateAutomation, seen observation, pushed string,
) []reconciler.Event {
	if a.Status.LastPushCommit == "" || a.Status.LastPushTime == nil || r.ServesSources && pushed == "" {
		return nil
	}
	push := fetchrequest.PushedTo(seen.repo, a.Namespace, cmp.Or(pushed, a.Status.LastPushCommit), seen.request.Push)
	if branch, ok := strings.CutPrefix(seen.request.Refspec.Target, refOf("")); ok {
		push.Branches = append(push.Branches, branch)
	}
	if pushed == "" {
		push.Since = a.Status.LastPushTime.Time
	}
	reach := fetchrequest.Requester{Client: r.Client, Served: r.ServesSources, Waker: r.Sources, Clock: r.Clock}
	var events []reconciler.Event
	for _, err := range reach.Fetch(ctx, push) {
		events = append(events, requestFailedEvent(a, err))
	}
	return events
}

// requestFailedEvent says why a source was not asked for a reconcile, which delays the release and loses nothing.
func requestFailedEvent(a *imagev1.ImageUpdateAutomation, err error) reconciler.Event {
	return reconciler.Event{
		Type: corev1.EventTypeWarning, Reason: imagev1.SourceRequestFailedReason,
		Message:  fmt.Sprintf("%v; commit '%s' is fetched at the interval of the GitRepository", err, shorten.Commit(a.Status.LastPushCommit)),
		Metadata: map[string]string{imagev1.CommitAnnotation: a.Status.LastPushCommit},
	}
}
