// SPDX-License-Identifier: Apache-2.0

package source

import (
	"errors"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-cd/sluice/internal/reconciler"
)

// What all kinds of sources do alike.
const (
	defaultTimeout = 60 * time.Second
	// maxTimeout is for a server that never answers: each of its sources takes a slot of its namespace for as long.
	maxTimeout = time.Hour
)

// Timeout is how long a server may take, as spec.timeout says: a minute without one, and at most an hour.
func Timeout(spec *metav1.Duration) time.Duration {
	if spec != nil && spec.Duration > 0 {
		return min(spec.Duration, maxTimeout)
	}
	return defaultTimeout
}

// About is the metadata of events about an artifact, by the names that Flux's notification-controller knows; nil without
// an artifact.
func About(artifact *meta.Artifact) map[string]string {
	if artifact == nil {
		return nil
	}
	return map[string]string{
		sourcev1.GroupVersion.Group + "/revision": artifact.Revision,
		sourcev1.GroupVersion.Group + "/digest":   artifact.Digest,
	}
}

// Reasons of events, as Flux's source-controller spells them.
const (
	newArtifactReason                = "NewArtifact"
	artifactVerificationFailedReason = "ArtifactVerificationFailed"
)

// NewArtifact are the events of an artifact that was just published in place of a recorded one. If the same archive was made
// again, they are damage, which is [Publisher.Damage] of the recorded one. If it is another one of the same content, it was made by
// another controller, or lost, which is no news.
func NewArtifact(
	recorded Recorded, sameContent bool, damage []reconciler.Event, artifact *meta.Artifact, message string,
) []reconciler.Event {
	switch {
	case recorded.Artifact.HasDigest(artifact.Digest):
		return damage
	case sameContent:
		return nil
	}
	return []reconciler.Event{{Type: corev1.EventTypeNormal, Reason: newArtifactReason, Message: message, Metadata: About(artifact)}}
}

// HasAnotherArtifact reports whether a source has an artifact of another revision or with another content than before: what
// watches of sources wait for.
func HasAnotherArtifact(before, after Source) bool {
	is, was := after.GetArtifact(), before.GetArtifact()
	return is != nil && (!was.HasRevision(is.Revision) || !was.HasDigest(is.Digest))
}

// SecretNames are the names of the references that are set.
func SecretNames(refs ...*meta.LocalObjectReference) []string {
	var names []string
	for _, ref := range refs {
		if ref != nil {
			names = append(names, ref.Name)
		}
	}
	return names
}

// FetchFailed is an error of the server, or of what is said about it, for the condition FetchFailed.
func FetchFailed(reason string, err error) error {
	return reconciler.WithCondition(sourcev1.FetchFailedCondition, reason, err)
}

// StorageFailed is an error of making or keeping an artifact, for the condition StorageOperationFailed. One that has a
// condition already, since the server failed while the artifact was made of what it sends, keeps it.
func StorageFailed(err error) error {
	if f := (reconciler.ConditionError{}); errors.As(err, &f) {
		return err
	}
	return reconciler.WithCondition(sourcev1.StorageOperationFailedCondition, sourcev1.ArchiveOperationFailedReason, err)
}

// Failed records an error in the condition that it belongs to, if it has one, and returns it. The reason of an error
// without one is what reason says.
func Failed(obj reconciler.Object, now time.Time, err error, reason func(error) string) error {
	var f reconciler.ConditionError
	if errors.As(err, &f) {
		SetCondition(obj, now, f.Condition, reconciler.ReasonOf(f, reason), reconciler.ConditionMessage(f))
	}
	return err
}

// ClearFailures removes the conditions that say what is wrong from a source whose artifact is what it should be, also those
// that only source-controller sets, which may have served it before.
func ClearFailures(obj reconciler.Object) {
	for _, condition := range []string{
		sourcev1.FetchFailedCondition, sourcev1.IncludeUnavailableCondition, sourcev1.StorageOperationFailedCondition,
		sourcev1.ArtifactOutdatedCondition, sourcev1.BuildFailedCondition,
	} {
		reconciler.RemoveCondition(obj, condition)
	}
}

// SetCondition sets a condition of a source, which is True: conditions of sources say what is wrong, or that an artifact
// is there. SourceVerified alone says that something is right, and is False for any reason but Succeeded.
func SetCondition(obj reconciler.Object, now time.Time, condition, reason, message string) {
	status := metav1.ConditionTrue
	if condition == sourcev1.SourceVerifiedCondition && reason != meta.SucceededReason {
		status = metav1.ConditionFalse
	}
	reconciler.SetCondition(obj, now, metav1.Condition{Type: condition, Status: status, Reason: reason, Message: message})
}
