// SPDX-License-Identifier: Apache-2.0

package gitrepository

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/disk"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/source"
)

// publish makes the artifact in status what the source has now, unless it is.
func (r *Reconciler) publish(
	ctx context.Context, obj *sourcev1.GitRepository, seen observed, included []included,
) ([]reconciler.Event, error) {
	content := &artifactContent{obj: obj, seen: seen, mirrors: r.Mirrors, opener: r.Opener, included: included}
	snapshot := source.Snapshot{
		Key: keyOf(obj), Name: content.name(), Revision: seen.Revision(), Ignore: obj.Spec.Ignore,
		Open: func(*budget.Grant) (source.Files, error) { return content.files, nil },
	}
	recorded := source.Recorded{Artifact: obj.Status.Artifact, Ignore: obj.Status.ObservedIgnore}
	same := recorded.IsOf(snapshot) && content.isRecorded()
	if same && r.Publisher.IsCurrent(snapshot, recorded) {
		return nil, r.share(ctx, snapshot, recorded.Artifact, content)
	}
	damage := r.Publisher.Damage(snapshot, recorded)
	if err := fetch(ctx, obj, seen); err != nil {
		return nil, err
	}
	if err := content.gather(ctx); err != nil {
		return nil, err
	}
	artifact, err := r.Publisher.Publish(ctx, snapshot, recorded)
	if err != nil {
		return nil, source.StorageFailed(err)
	}
	obj.Status.Artifact, obj.Status.ObservedIgnore = artifact, obj.Spec.Ignore
	content.record()
	stored := fmt.Sprintf("stored artifact for commit '%s'", subject(content.message))
	return source.NewArtifact(recorded, same, damage, artifact, stored), nil
}

// share lets consumers read the files of an artifact that an earlier process made, if
// the mirror has its commit. The store's address may be another one than before.
// Of one that has more than its commit, they read the archive.
func (r *Reconciler) share(ctx context.Context, snapshot source.Snapshot, artifact *meta.Artifact, c *artifactContent) error {
	artifact.URL = r.Publisher.Store.URL(artifact.Path)
	if r.Publisher.IsShared(artifact) || !c.seen.mirror.Has(c.seen.Commit) || !c.isPlain() {
		return nil
	}
	if err := c.gather(ctx); err != nil {
		return err
	}
	if err := r.Publisher.Share(ctx, snapshot, artifact); err != nil {
		return source.StorageFailed(err)
	}
	return nil
}

// fetch brings what is missing of the commit into the mirror.
func fetch(ctx context.Context, obj *sourcev1.GitRepository, seen observed) error {
	err := seen.mirror.Fetch(ctx, seen.Ref, seen.Commit)
	switch {
	case errors.Is(err, disk.ErrFull):
		return source.StorageFailed(err)
	case err != nil:
		return remoteFailed(obj, err)
	}
	return nil
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
