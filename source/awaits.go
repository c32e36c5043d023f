// SPDX-License-Identifier: Apache-2.0

package source

import (
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Source is what all kinds of sources have in common.
type Source interface {
	client.Object
	GetArtifact() *meta.Artifact
	GetConditions() []metav1.Condition
}

// Awaits reports whether this process is about to store the artifact that is in the status of a source: whoever served
// it before has taken the artifact along, or the disk was lost. Nothing has gone wrong then, neither with the source nor
// with what it feeds, as long as the fetch does not fail. A nil store awaits nothing.
func (s *Store) Awaits(src Source) bool {
	var suspended bool
	switch src := src.(type) {
	case *sourcev1.GitRepository:
		suspended = src.Spec.Suspend
	case *sourcev1.OCIRepository:
		suspended = src.Spec.Suspend
	case *sourcev1.Bucket:
		suspended = src.Spec.Suspend
	default: // others store its artifacts
		return false
	}
	if s == nil || suspended || src.GetDeletionTimestamp() != nil {
		return false
	}
	artifact := src.GetArtifact()
	return s.Published(artifact.Digest) == nil && !s.Holds(artifact) &&
		!apimeta.IsStatusConditionFalse(src.GetConditions(), meta.ReadyCondition)
}
