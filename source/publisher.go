// SPDX-License-Identifier: Apache-2.0

package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/tree"
)

// Publisher keeps the artifact of a source at what its origin has now, whatever kind
// of source it is: a commit, an OCI artifact, a bucket.
//
//	IsCurrent --yes--> Share    the artifact is there; let consumers read its files
//	          --no---> Publish  files -> view -> archive -> artifact for the status
type Publisher struct {
	Store *Store
	// Memory is what making an artifact takes of; nil is without end.
	Memory *budget.Budget
	// Jitter is the largest part by which the intervals of sources are shorter or longer.
	Jitter float64
}

// Snapshot is what the origin of a source has now.
type Snapshot struct {
	Key Key
	// Name is the file name of the artifact, usually a commit or a digest, and
	// Revision what statuses call it.
	Name, Revision string
	// Ignore is spec.ignore.
	Ignore *string
	// Note is kept beside the artifact, for [Store.Note].
	Note []byte
	// Open returns the files. It is called when they are needed, and memory for an
	// artifact of a common size has been granted; what it holds beyond that is added to
	// the grant, which may be nil.
	Open func(memory *budget.Grant) (Files, error)
	// Bytes returns what is kept as it is, for sources that do so instead: it has no files
	// to share, and ignores nothing. Nil means that Open is called.
	Bytes func(memory *budget.Grant) ([]byte, error)
}

// Recorded is what the status of a source says of its last artifact.
type Recorded struct {
	Artifact *meta.Artifact
	// Ignore are the ignore rules that it was made with.
	Ignore *string
}

// IsOf reports whether the recorded artifact was made of the snapshot, whoever made it: another controller archives the
// same files otherwise.
func (r Recorded) IsOf(s Snapshot) bool {
	return r.Artifact.HasRevision(s.Revision) && ptr.Equal(s.Ignore, r.Ignore)
}

// PublishMemory is what an artifact of a common size takes while it is made.
const PublishMemory = 4 << 20

// IsCurrent reports whether the recorded artifact is in the store and is what
// publishing the snapshot would make.
func (p *Publisher) IsCurrent(s Snapshot, recorded Recorded) bool {
	return recorded.IsOf(s) && p.Store.Holds(recorded.Artifact)
}

// Damage is the event of a recorded artifact that is not current since somebody, or the disk, changed its file, in a
// slice; there is none if that is not the reason. That the file is another one may also be since another controller
// recorded the artifact: see [NewArtifact].
func (p *Publisher) Damage(s Snapshot, recorded Recorded) []reconciler.Event {
	if !recorded.IsOf(s) {
		return nil
	}
	err := p.Store.verify(recorded.Artifact)
	if !errors.Is(err, ErrDigestMismatch) {
		return nil
	}
	return []reconciler.Event{{
		Type: corev1.EventTypeWarning, Reason: artifactVerificationFailedReason, Always: true,
		Message: fmt.Sprintf("failed to verify integrity of artifact: %v; it is made anew", err),
	}}
}

// IsShared reports whether consumers in this process can read the artifact's files
// without its archive.
func (p *Publisher) IsShared(artifact *meta.Artifact) bool {
	return p.Store.Published(artifact.Digest) != nil
}

// Share lets consumers in this process read the files of an artifact that an earlier
// process made.
func (p *Publisher) Share(ctx context.Context, s Snapshot, artifact *meta.Artifact) error {
	return p.Memory.Do(ctx, s.Key.Namespace, PublishMemory, func(memory *budget.Grant) error {
		view, err := p.view(ctx, s, memory)
		if err != nil {
			return err
		}
		p.Store.Publish(s.Key, artifact, view)
		return nil
	})
}

// Publish stores the artifact of a snapshot, and shares it. An artifact that was only
// missing in the store keeps the time of the recorded one.
func (p *Publisher) Publish(ctx context.Context, s Snapshot, recorded Recorded) (artifact *meta.Artifact, err error) {
	err = p.Memory.Do(ctx, s.Key.Namespace, PublishMemory, func(memory *budget.Grant) error {
		artifact, err = p.PublishWithin(ctx, s, recorded, memory)
		return err
	})
	return artifact, err
}

// PublishWithin is Publish for who holds memory already, which grows by what it takes.
// The error is [budget.ErrExhausted] when it cannot.
func (p *Publisher) PublishWithin(ctx context.Context, s Snapshot, recorded Recorded, memory *budget.Grant) (*meta.Artifact, error) {
	var err error
	content := Content{Name: s.Name, Revision: s.Revision, Memory: memory, Note: s.Note}
	if s.Bytes != nil {
		content.Bytes, err = s.Bytes(memory)
	} else {
		content.View, err = p.view(ctx, s, memory)
	}
	if err != nil {
		return nil, err
	}
	artifact, err := p.Store.Put(ctx, s.Key, content)
	if err != nil {
		return nil, fmt.Errorf("unable to archive artifact to storage: %w", err)
	}
	if before := recorded.Artifact; before.HasDigest(artifact.Digest) && before.HasRevision(artifact.Revision) {
		artifact.LastUpdateTime = before.LastUpdateTime
	}
	return artifact, nil
}

func (p *Publisher) view(ctx context.Context, s Snapshot, memory *budget.Grant) (*View, error) {
	files, err := s.Open(memory)
	if err != nil {
		return nil, err
	}
	return NewView(ctx, files, s.Ignore, p.Store.Latest(s.Key), memory)
}

// FilesOf makes a tree of any origin, such as that of a tarball, one that finds content
// by hash.
func FilesOf(t tree.Tree) (Files, error) {
	f := &hashedTree{Tree: t, paths: map[string]string{}}
	_, inMemory := t.(*tree.Memory)
	err := tree.Walk(t, "", func(path string, e tree.Entry) error {
		f.paths[e.Hash] = path
		if !inMemory {
			return nil
		}
		data, err := t.ReadFile(path)
		f.bytes += int64(len(data))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing files: %w", err)
	}
	return f, nil
}

// All makes a view of the files leave none out: for sources whose rules were applied
// before the files were fetched.
func All(files Files) Files { return completeFiles{files} }

type completeFiles struct{ Files }

func (c completeFiles) held() int64 {
	if in, ok := c.Files.(interface{ held() int64 }); ok {
		return in.held()
	}
	return 0
}

// hashedTree is a tree with a path for each hash.
type hashedTree struct {
	tree.Tree
	paths map[string]string
	bytes int64 // of all files, which are in memory for as long as the tree
}

func (f hashedTree) held() int64 { return f.bytes }

// ReadBlob implements [Files].
func (f hashedTree) ReadBlob(hash string) ([]byte, error) {
	path, ok := f.paths[hash]
	if !ok {
		return nil, &fs.PathError{Op: "read", Path: hash, Err: fs.ErrNotExist}
	}
	return f.ReadFile(path)
}

// BlobSize implements [Files].
func (f hashedTree) BlobSize(hash string) (int64, error) {
	data, err := f.ReadBlob(hash)
	return int64(len(data)), err
}
