package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/opencontainers/go-digest"

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
	store  *Store
	client *http.Client
	limits tree.Limits
}

// NewOpener returns an opener that looks into the store first; a nil store has
// nothing. Downloads are bounded in size, and in time by the caller's context.
func NewOpener(store *Store) *Opener {
	return &Opener{store: store, client: &http.Client{}}
}

// Open returns the files of an artifact. Nothing is returned that does not match
// the artifact's digest.
func (o *Opener) Open(ctx context.Context, artifact *meta.Artifact) (tree.Tree, error) {
	if o.store != nil {
		if v := o.store.Published(artifact.Digest); v != nil {
			return v, nil
		}
	}
	data, err := o.read(ctx, artifact)
	if err != nil {
		return nil, fmt.Errorf("opening artifact %s: %w", artifact.Revision, err)
	}
	t, err := tree.FromTar(bytes.NewReader(data), o.limits)
	if err != nil {
		return nil, fmt.Errorf("opening artifact %s: %w", artifact.Revision, err)
	}
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
			return verified(file, expected)
		}
	}
	return o.download(ctx, artifact.URL, expected)
}

func (o *Opener) download(ctx context.Context, url string, expected digest.Digest) ([]byte, error) {
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
		return verified(response.Body, expected)
	case http.StatusNotFound:
		return nil, fmt.Errorf("%w at %s", ErrArtifactMissing, url)
	}
	return nil, fmt.Errorf("downloading %s: %s", url, response.Status)
}

// verified reads all of r, which must match the digest.
func verified(r io.Reader, expected digest.Digest) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxArchive+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxArchive {
		return nil, tree.ErrTooLarge
	}
	verifier := expected.Verifier()
	_, _ = verifier.Write(data) // a hash takes all
	if !verifier.Verified() {
		return nil, fmt.Errorf("%w %s", ErrDigestMismatch, expected)
	}
	return data, nil
}
