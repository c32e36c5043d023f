// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/opencontainers/go-digest"
	_ "github.com/opencontainers/go-digest/blake3" // source-controller may have it by --artifact-digest-algo

	"github.com/sluice-cd/sluice/internal/bounded"
	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/outbound"
	"github.com/sluice-cd/sluice/internal/tree"
)

var (
	// ErrArtifactMissing means that nothing is where the artifact should be. It
	// was replaced by a newer one, or is not there yet.
	ErrArtifactMissing = errors.New("artifact not found")
	// ErrDigestMismatch means that the artifact is not what its digest says.
	ErrDigestMismatch = errors.New("artifact does not match its digest")
)

// Opener gives the files of artifacts, whoever made them.
type Opener struct {
	// Memory is what the files of a downloaded artifact take of, for as long as somebody
	// has them; nil is without end. Set it before the first use.
	Memory *budget.Budget

	store  *Store
	guard  *outbound.Guard
	client *http.Client
	limits tree.Limits
}

// OpenerOption is an option of [NewOpener].
type OpenerOption func(*Opener)

// WithGuard lets downloads go where the guard allows. Who writes the status of an
// ExternalArtifact names a URL that this process asks.
func WithGuard(guard *outbound.Guard) OpenerOption {
	return func(o *Opener) { o.guard = guard }
}

// NewOpener returns an opener that looks into the store first; a nil store has
// nothing. Downloads are bounded in size, and in time by the caller's context.
func NewOpener(store *Store, options ...OpenerOption) *Opener {
	o := &Opener{store: store, guard: outbound.Unguarded()}
	for _, option := range options {
		option(o)
	}
	// What is read is bounded by the size that the artifact has by its source.
	o.client = outbound.NewClient(o.guard.Transport(), outbound.Rules{Redirects: outbound.AnyServer})
	return o
}

// Open returns the files of an artifact for a namespace, which is that of the object that
// needs them. The namespace in the path of the artifact does not count, since anybody who may write
// the status of a source chooses it. Nothing is returned that does not match the artifact's digest. Which artifact
// it is, errors leave to the caller to say.
func (o *Opener) Open(ctx context.Context, namespace string, artifact *meta.Artifact) (tree.Tree, error) {
	if o.store != nil {
		if v := o.store.Published(artifact.Digest); v != nil {
			return v, nil
		}
	}
	memory, err := o.acquire(ctx, namespace, sizeOf(artifact))
	if err != nil {
		return nil, err
	}
	t, err := o.unpack(ctx, artifact, memory)
	if err != nil {
		memory.Release()
		return nil, err
	}
	// Nobody says that a tree is of no use any more, but the collector knows.
	runtime.AddCleanup(t, func(memory *budget.Grant) { memory.Release() }, memory)
	return t, nil
}

// acquire takes the memory for a download.
func (o *Opener) acquire(ctx context.Context, namespace string, bytes int64) (*budget.Grant, error) {
	bytes = min(bytes, o.Memory.NamespaceLimit())
	memory, err := o.Memory.TryAcquire(namespace, bytes)
	if !errors.Is(err, budget.ErrExhausted) {
		return memory, err
	}
	runtime.GC() // what was opened before may be of no use any more
	return o.Memory.Acquire(ctx, namespace, bytes)
}

// sizeOf is how long an artifact is, or may be.
func sizeOf(artifact *meta.Artifact) int64 {
	if artifact.Size != nil && *artifact.Size >= 0 && *artifact.Size < maxArchive {
		return *artifact.Size
	}
	return maxArchive
}

// unpack reads an artifact into a tree. The download is dropped again.
func (o *Opener) unpack(ctx context.Context, artifact *meta.Artifact, memory *budget.Grant) (*tree.Memory, error) {
	data, err := o.read(ctx, artifact)
	if err != nil {
		return nil, err
	}
	limits := o.limits
	limits.Grow = memory.Grow
	t, err := tree.FromTar(bytes.NewReader(data), limits)
	if err != nil {
		return nil, err
	}
	memory.Shrink(min(sizeOf(artifact), o.Memory.NamespaceLimit()))
	return t, nil
}

// read returns the verified bytes of an artifact.
func (o *Opener) read(ctx context.Context, artifact *meta.Artifact) ([]byte, error) {
	expected, err := digest.Parse(artifact.Digest)
	if err != nil {
		return nil, fmt.Errorf("digest %q: %w", artifact.Digest, err)
	}
	if o.store != nil && o.store.Holds(artifact) {
		if file, ok := o.store.open(artifact); ok {
			defer func() { _ = file.Close() }()
			return verified(file, expected, sizeOf(artifact))
		}
	}
	return o.download(ctx, artifact, expected)
}

func (o *Opener) download(ctx context.Context, artifact *meta.Artifact, expected digest.Digest) ([]byte, error) {
	url := artifact.URL
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := o.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	switch response.StatusCode {
	case http.StatusOK:
		return verified(response.Body, expected, sizeOf(artifact))
	case http.StatusNotFound:
		return nil, fmt.Errorf("%w at %s", ErrArtifactMissing, url)
	}
	return nil, fmt.Errorf("downloading %s: %s", url, response.Status)
}

// verified reads all of r, which must match the digest and be no longer than limit.
func verified(r io.Reader, expected digest.Digest, limit int64) ([]byte, error) {
	tooLong := tree.ErrTooLarge
	if limit != maxArchive {
		tooLong = fmt.Errorf("%w %s: it is longer", ErrDigestMismatch, expected)
	}
	data, err := bounded.ReadAll(r, limit, tooLong)
	if err != nil {
		return nil, err
	}
	verifier := expected.Verifier()
	_, _ = verifier.Write(data) // a hash takes all
	if !verifier.Verified() {
		return nil, fmt.Errorf("%w %s", ErrDigestMismatch, expected)
	}
	return data, nil
}
