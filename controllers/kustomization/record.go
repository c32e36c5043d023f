// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"errors"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-cd/sluice/apply"
	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/apply/inventory"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

// record writes into the status what a reconcile came to, in memory: the runner patches
// it. The objects are those that others apply as well.
func (run *run) record(now time.Time, report decide.ReportedState, sharing []apply.SharedObject) (reconciler.Result, error) {
	k, remembered := run.k, run.state.previous
	if run.attempted {
		k.Status.LastAttemptedRevision = run.artifact.Revision
	}
	if remembered.Applied {
		setInventory(k, remembered.Inventory)
	}
	run.setHealthy(now, report.Healthy)
	if report.History != "" {
		run.addHistory(now, report.History)
	}
	for _, e := range report.Events {
		run.inform(e.Reason, e.Message)
		last := &run.events[len(run.events)-1]
		last.AlertsOnly = e.AlertsOnly
		if e.CommitStatus {
			// Upstream's notifications set a commit's status by this mark.
			last.Metadata[kustomizev1.GroupVersion.Group+"/commit_status"] = "update"
		}
	}
	warning := run.setWarning(now, sharing)
	result := reconciler.Result{
		Progressing: report.Progressing, Reason: report.Reason, Message: report.Message, After: report.After,
		Events: run.events, ReadyEvent: reconciler.SkipReadyEvent,
	}
	if report.Failure != nil {
		return run.recordFailure(result, asError(k, *report.Failure))
	}
	if !report.Progressing {
		result.Message += warning
		k.Status.LastAppliedRevision = run.artifact.Revision
		k.Status.LastAppliedOriginRevision = run.artifact.Metadata[originRevision]
	}
	result.About = run.about()
	return result, nil
}

// recordFailure tells why a reconcile did not reach its end. Whoever is asked about an
// object may quote it: the API server, an admission webhook, the object's own status.
func (run *run) recordFailure(result reconciler.Result, err error) (reconciler.Result, error) {
	result.About = run.about()
	return result, run.state.mask.Error(err)
}

// addHistory notes how an attempt ended.
func (run *run) addHistory(now time.Time, reason string) {
	about := map[string]string{"revision": run.artifact.Revision}
	if origin := run.artifact.Metadata[originRevision]; origin != "" {
		about["originRevision"] = origin
	}
	remembered := run.state.previous
	run.k.Status.History.Upsert(remembered.Built.Objects, now, now.Sub(remembered.Started).Round(time.Millisecond), reason, about)
}

// setHealthy sets the Healthy condition. The wait for another revision is a transition
// of its own, although both are Unknown: the timeout is counted from it.
func (run *run) setHealthy(now time.Time, healthy *decide.HealthyCondition) {
	switch {
	case healthy == nil:
		return
	case healthy.Status == "":
		reconciler.RemoveCondition(run.k, meta.HealthyCondition)
		return
	}
	since := now
	if healthy.Status == metav1.ConditionUnknown {
		since = run.state.previous.HealthSince
		reconciler.RemoveCondition(run.k, meta.HealthyCondition)
	}
	reconciler.SetCondition(run.k, since, metav1.Condition{
		Type: meta.HealthyCondition, Status: healthy.Status, Reason: healthy.Reason, Message: run.state.mask.Text(healthy.Message),
	})
}

func setInventory(k *kustomizev1.Kustomization, entries []inventory.Entry) {
	refs := make([]kustomizev1.ResourceRef, 0, len(entries))
	for _, e := range entries {
		refs = append(refs, kustomizev1.ResourceRef{ID: e.String(), Version: e.Version})
	}
	k.Status.Inventory = &kustomizev1.ResourceInventory{Entries: refs}
}

// inform adds an event about the revision.
func (run *run) inform(reason, message string) { run.addEvent(corev1.EventTypeNormal, reason, message) }

// warn adds a warning about the revision.
func (run *run) warn(reason, message string) { run.addEvent(corev1.EventTypeWarning, reason, message) }

// advise adds a warning about what is applied, and works, and is probably a mistake.
func (run *run) advise(reason, message string) {
	run.warn(reason, message)
	run.events[len(run.events)-1].Advice = true
}

func (run *run) addEvent(kind, reason, message string) {
	run.events = append(run.events, reconciler.Event{Type: kind, Reason: reason, Message: message, Metadata: run.about()})
}

// about is what all events of this reconcile have in their metadata.
func (run *run) about() map[string]string {
	if run.artifact == nil {
		return nil
	}
	return revisionOf(run.artifact.Revision, run.artifact.Metadata[originRevision])
}

// revisionOf is the metadata by which notifications know a revision, and the commit
// that it was made of.
func revisionOf(revision, origin string) map[string]string {
	group, about := kustomizev1.GroupVersion.Group, map[string]string{}
	if revision != "" {
		about[group+"/revision"] = revision
	}
	if origin != "" {
		about[group+"/originRevision"] = origin
	}
	return about
}

// originRevision is the artifact's metadata that names the commit it was made of.
const originRevision = "org.opencontainers.image.revision"

// asError is a failure as the runner understands it.
func asError(k *kustomizev1.Kustomization, f decide.Failure) error {
	err := f.Err
	if f.Reason != "" {
		err = reconciler.WithReason(f.Reason, err)
	}
	after := f.After
	if after == 0 {
		after = k.GetRetryInterval()
	}
	switch f.Retry {
	case decide.RetryNever:
		return terminal(err)
	case decide.RetryPending:
		return reconciler.Pending(err, after)
	case decide.RetryWhenWatched:
		return reconciler.Waiting(err, after)
	case decide.RetrySoon:
		return retrySoon(k, err)
	}
	return errors.Join(errors.New("unknown retry"), err)
}
