// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/sluice-cd/sluice/internal/bounded"
)

const (
	// maxSignatures bounds how many signatures of one image are looked at,
	// newest first: anybody who may push may add some.
	maxSignatures = 64
	// maxLayer bounds one signature. Those of cosign and notation have some
	// KiB; an attestation of how an image was built may have hundreds.
	maxLayer = 4 << 20
	// maxManifest bounds a manifest that holds signatures, with what cosign
	// keeps in the annotations of its layers.
	maxManifest = 4 << 20
)

var (
	errMissing  = errors.New("the registry does not have it")
	errTooLarge = errors.New("it is too large")
)

// repository reads what lies beside an image.
type repository struct {
	ref  name.Digest
	opts []remote.Option
}

func newRepository(ctx context.Context, ref name.Digest, opts Options) repository {
	return repository{ref: ref, opts: append(slices.Clone(opts.Remote), remote.WithContext(ctx))}
}

// manifest is an image manifest that holds signatures. ggcr's type lacks the
// field artifactType.
type manifest struct {
	v1.Manifest
	ArtifactType string `json:"artifactType"`
	digest       v1.Hash
}

// kind is the type of what the manifest holds, as OCI 1.1 defines it.
func (m manifest) kind() string {
	if m.ArtifactType != "" {
		return m.ArtifactType
	}
	return string(m.Config.MediaType)
}

// manifest reads a manifest by tag or digest. errMissing means that there is
// none; other errors about it are not wrapped transport errors.
func (r repository) manifest(ref name.Reference) (manifest, error) {
	got, err := remote.Get(ref, r.opts...)
	if err != nil {
		return manifest{}, missing(err)
	}
	if got.Size > maxManifest {
		return manifest{}, fmt.Errorf("manifest of %d bytes: %w", got.Size, errTooLarge)
	}
	m := manifest{digest: got.Digest}
	if err := json.Unmarshal(got.Manifest, &m); err != nil {
		return manifest{}, unreadable{err}
	}
	return m, nil
}

// layer reads a layer whole; its digest is checked.
func (r repository) layer(desc v1.Descriptor) ([]byte, error) {
	if desc.Size > maxLayer {
		return nil, fmt.Errorf("layer of %d bytes: %w", desc.Size, errTooLarge)
	}
	layer, err := remote.Layer(r.ref.Context().Digest(desc.Digest.String()), r.opts...)
	if err != nil {
		return nil, missing(err)
	}
	body, err := layer.Compressed()
	if err != nil {
		return nil, missing(err)
	}
	defer body.Close()
	return bounded.ReadAll(body, maxLayer, fmt.Errorf("layer: %w", errTooLarge))
}

// referrers lists what says to be about the image, newest first: registries
// append.
func (r repository) referrers() ([]v1.Descriptor, error) {
	index, err := remote.Referrers(r.ref, r.opts...)
	if err == nil {
		var list *v1.IndexManifest
		if list, err = index.IndexManifest(); err == nil {
			slices.Reverse(list.Manifests)
			return list.Manifests, nil
		}
	}
	if unsupported(err) {
		return nil, nil
	}
	return nil, fmt.Errorf("listing referrers of %s: %w", r.ref, err)
}

// missing turns the answer "not found" into errMissing.
func missing(err error) error {
	if status(err) == http.StatusNotFound {
		return errMissing
	}
	return err
}

// unsupported are answers of registries that do not know the referrers API, of
// which ggcr takes only some for what they mean.
func unsupported(err error) bool {
	code := status(err)
	return code == http.StatusMethodNotAllowed || code == http.StatusNotImplemented || code == http.StatusNotFound
}

func status(err error) int {
	var answer *transport.Error
	if errors.As(err, &answer) {
		return answer.StatusCode
	}
	return 0
}

// unreadable is the error of content that is not what it should be.
type unreadable struct{ error }

func (u unreadable) Unwrap() error { return u.error }

// isFinding tells what is wrong with a signature from an outage.
func isFinding(err error) bool {
	var bad unreadable
	return errors.Is(err, errMissing) || errors.Is(err, errTooLarge) || errors.As(err, &bad)
}
