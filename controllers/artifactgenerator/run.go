// SPDX-License-Identifier: Apache-2.0

package artifactgenerator

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	generatorv1 "github.com/fluxcd/source-watcher/api/v2/v1beta1"

	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/tree"
	"github.com/sluice-cd/sluice/source"
	"github.com/sluice-cd/sluice/source/generator"
)

// run makes the artifacts of a generator.
type run struct {
	*Reconciler
	obj  *generatorv1.ArtifactGenerator
	seen observed
	// there are the ExternalArtifacts that the generator has made, by name.
	there map[string]*sourcev1.ExternalArtifact

	work      generator.Work
	views     map[string]*source.View // of sources, by alias
	listings  map[string]*generator.Listing
	inventory []generatorv1.ExternalArtifactReference
}

// pathMemory is what a path takes while artifacts are made of it, besides its length.
const pathMemory = 256

// generate makes all artifacts, and removes what is made no more.
func (r *run) generate(ctx context.Context) error {
	if err := r.open(ctx); err != nil {
		return err
	}
	err := r.Publisher.Memory.Do(ctx, r.obj.Namespace, source.PublishMemory, func(memory *budget.Grant) error {
		if err := r.list(memory); err != nil {
			return fmt.Errorf("listing the files of sources: %w", err)
		}
		outputs, err := r.expand()
		if err != nil {
			return buildFailed(fmt.Errorf("failed to expand path pattern: %w", err))
		}
		r.inventory = make([]generatorv1.ExternalArtifactReference, 0, len(outputs))
		for _, output := range outputs {
			if err := r.make(ctx, output, memory); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return r.remove(ctx, r.there, r.inventory)
}

// open opens the artifacts of the sources.
func (r *run) open(ctx context.Context) error {
	r.views = map[string]*source.View{}
	for _, ref := range r.obj.Spec.Sources {
		view, err := r.Opener.OpenView(ctx, r.obj.Namespace, r.seen[ref.Alias])
		if err != nil {
			return reconciler.WithReason(generatorv1.SourceFetchFailedReason, fmt.Errorf(
				"fetch sources failed: artifact of '%s/%s': %w", ref.Kind, sourceKey(r.obj, ref), err))
		}
		r.views[ref.Alias] = view
	}
	return nil
}

// list lists the files of the sources.
func (r *run) list(memory *budget.Grant) error {
	r.listings = map[string]*generator.Listing{}
	for alias, view := range r.views {
		files, dirs := generator.Files{}, map[string]bool{}
		err := tree.Walk(view, "", func(name string, e tree.Entry) error {
			files[name] = generator.File{Executable: e.Mode == tree.Executable, Hash: e.Hash}
			size := int64(len(name)) + pathMemory
			for dir := path.Dir(name); dir != "." && !dirs[dir]; dir = path.Dir(dir) {
				dirs[dir] = true
				size += pathMemory
			}
			return memory.Grow(size)
		})
		if err != nil {
			return err
		}
		r.listings[alias] = generator.NewListing(files)
	}
	return nil
}

func (r *run) expand() ([]generator.Output, error) {
	var dirs []string
	if alias, _, ok := strings.Cut(strings.TrimPrefix(r.obj.Spec.PathPattern, "@"), "/"); ok {
		dirs = r.listings[alias].Dirs()
	}
	return generator.Expand(&r.obj.Spec, dirs)
}

// make makes one artifact and its ExternalArtifact.
func (r *run) make(ctx context.Context, output generator.Output, memory *budget.Grant) error {
	contents := &contents{views: r.views, kept: source.BlobMap{}, memory: memory, left: maxBytes}
	before := memory.Held()
	defer func() { memory.Shrink(memory.Held() - before) }() // the next one has the share of the namespace for itself
	view, err := r.build(ctx, output, contents)
	if err != nil {
		return buildFailed(fmt.Errorf("%s build failed: %w", output.Name, err))
	}
	err = r.publish(ctx, output, view, memory)
	if err != nil && !errors.Is(err, budget.ErrExhausted) {
		return fmt.Errorf("%s reconcile failed: %w", output.Name, err)
	}
	return err
}

// build puts the files of an artifact together.
func (r *run) build(ctx context.Context, output generator.Output, contents *contents) (*source.View, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	built, err := generator.Build(output.Copy, r.listings, contents, &r.work)
	if err != nil {
		return nil, err
	}
	files := make(map[string]tree.Entry, len(built))
	for name, file := range built {
		mode := tree.File
		if file.Executable {
			mode = tree.Executable
		}
		if err := contents.memory.Grow(int64(len(name)) + pathMemory); err != nil {
			return nil, err
		}
		files[name] = tree.Entry{Mode: mode, Hash: file.Hash}
	}
	return source.NewView(ctx, source.All(source.Assemble(files, contents.blobs()...)), nil, nil, contents.memory)
}

// publish stores what was built, unless it is there, and writes the ExternalArtifact, unless it says so.
func (r *run) publish(ctx context.Context, output generator.Output, view *source.View, memory *budget.Grant) error {
	wanted := r.external(output)
	artifact, err := r.unchanged(ctx, output, wanted, view)
	if err == nil && artifact == nil {
		artifact, err = r.write(ctx, output, wanted, view, memory)
	}
	if err != nil {
		return err
	}
	r.inventory = append(r.inventory, generatorv1.ExternalArtifactReference{
		Name: output.Name, Namespace: r.obj.Namespace, Digest: artifact.Digest, Filename: path.Base(artifact.Path),
	})
	return nil
}

// unchanged is the artifact of an ExternalArtifact that has these files and says all that it should; nil if there is something to
// write. After a change of the spec there always is: something may have to go that only the API server knows to be ours.
func (r *run) unchanged(
	ctx context.Context, output generator.Output, wanted *sourcev1.ExternalArtifact, view *source.View,
) (*meta.Artifact, error) {
	there := r.there[output.Name]
	name, err := view.Hash("")
	if err != nil || there == nil || there.Status.Artifact == nil || !r.isApplied() ||
		!r.Publisher.Store.IsFile(r.key(output), name, there.Status.Artifact) {
		return nil, err
	}
	artifact, err := r.artifact(ctx, output, there, view, nil)
	if err != nil || !says(there, wanted, artifact) {
		return nil, err
	}
	return artifact, nil
}

// key is where the files of an artifact are kept.
func (r *run) key(output generator.Output) source.Key {
	return source.Key{Kind: sourcev1.ExternalArtifactKind, Namespace: r.obj.Namespace, Name: output.Name}
}

// artifact is the artifact of a view: the one of an ExternalArtifact, which may be nil, if it is of the same files.
func (r *run) artifact(
	ctx context.Context, output generator.Output, ea *sourcev1.ExternalArtifact, view *source.View, memory *budget.Grant,
) (*meta.Artifact, error) {
	name, err := view.Hash("")
	if err != nil {
		return nil, err
	}
	store, key := r.Publisher.Store, r.key(output)
	var artifact *meta.Artifact
	if ea != nil && ea.Status.Artifact != nil && store.IsFile(key, name, ea.Status.Artifact) {
		artifact = ea.Status.Artifact.DeepCopy()
		artifact.URL = store.URL(artifact.Path)
	} else {
		if artifact, err = store.Put(ctx, key, source.Content{Name: name, View: view, Memory: memory}); err != nil {
			return nil, fmt.Errorf("unable to archive artifact to storage: %w", err)
		}
		if before := recorded(ea); before.HasDigest(artifact.Digest) {
			artifact.LastUpdateTime = before.LastUpdateTime // it was lost, and is not new
		}
	}
	artifact.Revision = "latest@" + artifact.Digest
	if output.Revision != "" {
		artifact.Revision = r.seen[strings.TrimPrefix(output.Revision, "@")].Revision // generator.Check knows the alias
	}
	artifact.Metadata = nil
	if origin := r.seen.origin(strings.TrimPrefix(output.OriginRevision, "@")); origin != "" {
		artifact.Metadata = map[string]string{generatorv1.ArtifactOriginRevisionAnnotation: origin}
	}
	return artifact, nil
}

func recorded(ea *sourcev1.ExternalArtifact) *meta.Artifact {
	if ea == nil {
		return nil
	}
	return ea.Status.Artifact
}
