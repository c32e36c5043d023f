// SPDX-License-Identifier: Apache-2.0

package ocirepository

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"k8s.io/utils/ptr"

	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/registry"
	"github.com/sluice-cd/sluice/internal/tree"
	"github.com/sluice-cd/sluice/source"
)

const (
	// maxLayer bounds a layer, in bytes as it is pushed.
	maxLayer = 256 << 20
	// maxMetadata bounds the annotations that a status repeats, in bytes.
	maxMetadata = 16 << 10
)

// Annotations that say what an artifact was made of.
const (
	sourceAnnotation   = "org.opencontainers.image.source"
	revisionAnnotation = "org.opencontainers.image.revision"
	createdAnnotation  = "org.opencontainers.image.created"
)

// publish makes the artifact in status what the source has now, unless it is.
func (r *Reconciler) publish(ctx context.Context, obj *sourcev1.OCIRepository, seen observed) ([]reconciler.Event, error) {
	from := &pull{registry: r.Registry, image: seen.image, digest: seen.digest, mediaType: obj.GetLayerMediaType()}
	snapshot := source.Snapshot{
		Key: keyOf(obj), Name: seen.digest, Revision: seen.revision(), Ignore: obj.Spec.Ignore,
		Open: func(memory *budget.Grant) (source.Files, error) { return from.files(ctx, memory) },
	}
	if obj.GetLayerOperation() == sourcev1.OCILayerCopy {
		snapshot.Bytes = func(memory *budget.Grant) ([]byte, error) { return from.layer(ctx, memory) }
	}
	recorded := source.Recorded{Artifact: obj.Status.Artifact, Ignore: obj.Status.ObservedIgnore}
	same := recorded.IsOf(snapshot) && ptr.Equal(obj.Spec.LayerSelector, obj.Status.ObservedLayerSelector)
	if same && r.Publisher.IsCurrent(snapshot, recorded) {
		recorded.Artifact.URL = r.Publisher.Store.URL(recorded.Artifact.Path)
		obj.Status.URL = recorded.Artifact.URL
		return nil, nil
	}
	damage := r.Publisher.Damage(snapshot, recorded)
	artifact, err := r.Publisher.Publish(ctx, snapshot, recorded)
	if err != nil {
		return nil, source.StorageFailed(err)
	}
	artifact.Metadata = metadataOf(from.manifest.Annotations)
	obj.Status.Artifact, obj.Status.URL = artifact, artifact.URL
	obj.Status.ObservedIgnore, obj.Status.ObservedLayerSelector = obj.Spec.Ignore, obj.Spec.LayerSelector.DeepCopy()
	return source.NewArtifact(recorded, same, damage, artifact, announce(obj.Spec.URL, artifact)), nil
}

// announce tells of a new artifact, and of what it was made if that is known.
func announce(url string, artifact *meta.Artifact) string {
	said := fmt.Sprintf("stored artifact with revision '%s' from '%s'", artifact.Revision, url)
	origin, commit := artifact.Metadata[sourceAnnotation], artifact.Metadata[revisionAnnotation]
	if origin != "" && commit != "" {
		said += fmt.Sprintf(", origin source '%s', origin revision '%s'", origin, commit)
	}
	return said
}

// metadataOf are the annotations of a manifest that a status repeats: all of them, or if
// these are too long, those of where the artifact comes from that are not.
func metadataOf(annotations map[string]string) map[string]string {
	size := 0
	for key, value := range annotations {
		size += len(key) + len(value)
	}
	if size <= maxMetadata {
		return annotations
	}
	kept := map[string]string{}
	for _, key := range []string{sourceAnnotation, revisionAnnotation, createdAnnotation} {
		if value, ok := annotations[key]; ok && len(value) <= maxMetadata/8 {
			kept[key] = value
		}
	}
	return kept
}

// pull reads the layer of one digest.
type pull struct {
	registry  *registry.Client
	image     registry.Image
	digest    string
	mediaType string // of the layer; empty is the first

	manifest *v1.Manifest
}

// layer returns the selected layer as it is.
func (p *pull) layer(ctx context.Context, memory *budget.Grant) ([]byte, error) {
	var err error
	if p.manifest, err = p.registry.Manifest(ctx, p.image, p.digest); err != nil {
		return nil, p.failed(err)
	}
	layer, err := selectLayer(p.manifest, p.mediaType)
	if err != nil {
		return nil, source.FetchFailed(sourcev1.OCILayerOperationFailedReason, err)
	}
	// The buffer is twice as large while it grows.
	if err := memory.Grow(2 * layer.Size); err != nil {
		return nil, fmt.Errorf("pulling a layer of %d bytes: %w", layer.Size, err)
	}
	data, err := p.registry.Layer(ctx, p.image, layer)
	if err != nil {
		return nil, p.failed(err)
	}
	memory.Shrink(layer.Size)
	return data, nil
}

// failed is an error of the registry.
func (p *pull) failed(err error) error {
	return pullFailed(p.image, fmt.Errorf("failed to pull artifact from '%s': %w", p.image.Repository, err))
}

// files returns the files in the selected layer.
func (p *pull) files(ctx context.Context, memory *budget.Grant) (source.Files, error) {
	data, err := p.layer(ctx, memory)
	if err != nil {
		return nil, err
	}
	files, err := tree.FromTar(bytes.NewReader(data), tree.Limits{Grow: memory.Grow, Links: tree.DropLinks})
	switch {
	case errors.Is(err, budget.ErrExhausted), errors.Is(err, budget.ErrTooLarge):
		return nil, err
	case err != nil:
		return nil, source.FetchFailed(sourcev1.OCILayerOperationFailedReason,
			fmt.Errorf("failed to extract layer contents from artifact: %w", err))
	}
	memory.Shrink(int64(len(data)))
	return source.FilesOf(files)
}

// selectLayer is the first layer of a media type, or the first at all.
func selectLayer(manifest *v1.Manifest, mediaType string) (v1.Descriptor, error) {
	for _, layer := range manifest.Layers {
		if mediaType != "" && string(layer.MediaType) != mediaType {
			continue
		}
		if layer.Size < 0 || layer.Size > maxLayer {
			return v1.Descriptor{}, fmt.Errorf("layer %s has %d bytes, of which %d are allowed", layer.Digest, layer.Size, maxLayer)
		}
		return layer, nil
	}
	if mediaType == "" {
		return v1.Descriptor{}, errors.New("no layers found in artifact")
	}
	return v1.Descriptor{}, fmt.Errorf("failed to find layer with media type '%.200s' in artifact", mediaType)
}
