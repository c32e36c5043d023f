// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"k8s.io/apimachinery/pkg/types"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/internal/registry"
)

const (
	// copyTimeout bounds a copy. One that was cut off goes on with the blobs that lack.
	copyTimeout = 5 * time.Minute
	// copiesPerRegistry is how many copies to one registry go on at once, and copiesAtOnce
	// how many of them for the pipelines of a namespace.
	copiesPerRegistry, copiesAtOnce = 4, 2
)

// copyKey is a copy for a tag of a pipeline, by repository:tag. Another version for the tag
// takes its place.
type copyKey struct {
	pipeline types.NamespacedName
	tag      string
}

// pendingCopies are the copies of a pipeline that may be under way, at most one for each tag.
type pendingCopies struct {
	mu  sync.Mutex // the pipeline may be deleted during a run
	all map[copyKey]bool
}

func (m *pendingCopies) begin(key copyKey) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all == nil {
		m.all = map[copyKey]bool{}
	}
	m.all[key] = true
}

func (m *pendingCopies) end(key copyKey) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.all, key)
}

// copy copies an image to the repository of a tag. It may outlast the run, which then says
// so with [background.ErrPending], and is woken when the copy has ended.
func (ts tags) copy(ctx context.Context, from, to registry.Image, key copyKey, digest string) error {
	to.Timeout = copyTimeout
	ts.cache.copies.begin(key)
	source := from.Repository.Digest(digest).Name()
	ask := background.Request[copyKey]{
		Key: key, Input: source, Namespace: key.pipeline.Namespace, Host: to.Repository.RegistryStr(), Now: ts.clock.Now(),
	}
	_, err := ts.copying.Run(context.WithoutCancel(ctx), ask, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, ts.registry.Copy(ctx, from, to, digest)
	})
	if errors.Is(err, background.ErrPending) {
		return fmt.Errorf("%s is being copied to %s: %w", source, to.Repository, err)
	}
	ts.cache.copies.end(key)
	return err
}

// forgetCopies ends the copies of a pipeline that was deleted.
func (r *Reconciler) forgetCopies(last *pipelineCache) {
	last.tags.copies.mu.Lock()
	defer last.tags.copies.mu.Unlock()
	for key := range last.tags.copies.all {
		r.copying.Forget(key)
	}
}

// copiedFrom is where a version is, with the credentials of the tag. Only the registry of
// the tag itself is spoken to without TLS because of its insecure.
func (ts tags) copiedFrom(to registry.Image, t target, v sluicev1.Version) (registry.Image, error) {
	from := to
	from.Write, from.Timeout = false, copyTimeout
	var err error
	if from.Repository, err = name.NewRepository(v.Image); err != nil {
		return from, refuse("spec.artifacts[%s]: %q is no repository of a registry", v.Artifact, v.Image)
	}
	if t.tag.Insecure && from.Repository.RegistryStr() == to.Repository.RegistryStr() {
		from.Repository, err = name.NewRepository(v.Image, name.Insecure)
	}
	field := fmt.Sprintf("spec.artifacts[%s]", v.Artifact)
	if err != nil {
		return from, refuse("%s: %w", field, err)
	}
	if err := ts.registry.CheckAddress(field, from.Repository); err != nil {
		return from, refuse("%w", err)
	}
	return from, nil
}
