package gitrepository

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/disk"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/source"
)

// publish fetches what is missing of the commit, stores its artifact and puts it
// into status.
func (r *Reconciler) publish(ctx context.Context, obj *sourcev1.GitRepository, seen observed) ([]reconciler.Event, error) {
	err := seen.mirror.Fetch(ctx, seen.Ref, seen.Commit)
	switch {
	case errors.Is(err, disk.ErrFull):
		return nil, storageFailed(err)
	case err != nil:
		return nil, fetchFailed(reasonOf(err), fmt.Errorf("failed to checkout and determine revision: %w", err))
	}
	memory, err := r.Memory.Acquire(ctx, obj.Namespace, publishMemory)
	if err != nil {
		return nil, storageFailed(err)
	}
	defer memory.Release()
	files, view, err := r.view(ctx, obj, seen, memory)
	if err != nil {
		return nil, err
	}
	artifact, err := r.Store.Put(ctx, keyOf(obj), source.Content{
		Name: seen.Commit.String(), Revision: seen.Revision(), View: view, Memory: memory,
	})
	if err != nil {
		return nil, storageFailed(fmt.Errorf("unable to archive artifact to storage: %w", err))
	}
	before := obj.Status.Artifact
	if before.HasDigest(artifact.Digest) && before.HasRevision(artifact.Revision) {
		artifact.LastUpdateTime = before.LastUpdateTime // it was only missing on the disk
	}
	obj.Status.Artifact = artifact
	obj.Status.ObservedIgnore = obj.Spec.Ignore
	if before.HasDigest(artifact.Digest) {
		return nil, nil
	}
	return []reconciler.Event{{
		Type:     corev1.EventTypeNormal,
		Reason:   "NewArtifact",
		Message:  fmt.Sprintf("stored artifact for commit '%s'", subject(files.Info().Message)),
		Metadata: about(artifact),
	}}, nil
}

// about is the metadata by which notifications know an artifact.
func about(artifact *meta.Artifact) map[string]string {
	return map[string]string{
		sourcev1.GroupVersion.Group + "/revision": artifact.Revision,
		sourcev1.GroupVersion.Group + "/digest":   artifact.Digest,
	}
}

// publishMemory is what an artifact of a common size takes while it is made.
const publishMemory = 4 << 20

// view is what of the commit belongs into the artifact.
func (r *Reconciler) view(ctx context.Context, obj *sourcev1.GitRepository, seen observed, memory *budget.Grant) (*git.CommitTree, *source.View, error) {
	files, err := seen.mirror.Tree(seen.Commit)
	if err != nil {
		return nil, nil, storageFailed(err)
	}
	view, err := source.NewView(ctx, files, obj.Spec.Ignore, r.Store.Latest(keyOf(obj)), memory)
	if err != nil {
		return nil, nil, storageFailed(err)
	}
	return files, view, nil
}

// maxSubject bounds a commit's subject in an event.
const maxSubject = 50

// subject is the first line of a commit message, shortened.
func subject(message string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(message), "\n")
	if runes := []rune(line); len(runes) > maxSubject {
		return string(runes[:maxSubject-3]) + "..."
	}
	return line
}
