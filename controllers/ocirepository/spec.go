// SPDX-License-Identifier: Apache-2.0

package ocirepository

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/identity"
	"github.com/sluice-cd/sluice/internal/pattern"
	"github.com/sluice-cd/sluice/internal/registry"
	"github.com/sluice-cd/sluice/policy"
	"github.com/sluice-cd/sluice/source"
)

// reference is what a valid spec follows: a digest, or else the best of versions, or
// else a tag.
type reference struct {
	repository name.Repository
	digest     string
	versions   *policy.Policy
	tag        string
	// charts have a + of their version spelled as _ in their tag.
	charts bool
}

// Helm's charts are artifacts with a layer of this type.
const chartLayer = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"

// defaultTag is what a spec without ref follows.
const defaultTag = "latest"

// parse checks a spec. Its errors are for a person to mend.
func (r *Reconciler) parse(obj *sourcev1.OCIRepository) (reference, error) {
	var options []name.Option
	if obj.Spec.Insecure {
		options = append(options, name.Insecure)
	}
	repository, err := registry.ParseURL(obj.Spec.URL, options...)
	if err == nil {
		err = r.Registry.CheckAddress("spec.url", repository)
	}
	if err != nil {
		return reference{}, source.FetchFailed(sourcev1.URLInvalidReason, err)
	}
	if err := registry.CheckProvider(registrySpec(obj)); err != nil {
		return reference{}, providerFailed(err)
	}
	if err := source.CheckIgnore(obj.Spec.Ignore); err != nil {
		return reference{}, source.StorageFailed(err)
	}
	followed, err := parseRef(repository, obj.Spec.Reference)
	if err != nil {
		return reference{}, source.FetchFailed(sourcev1.ReadOperationFailedReason, err)
	}
	followed.charts = obj.GetLayerMediaType() == chartLayer
	return followed, nil
}

// providerFailed is why the identity of a cloud is not used for a source.
func providerFailed(err error) error {
	switch {
	case errors.Is(err, registry.ErrFeatureGate):
		return source.FetchFailed(meta.FeatureGateDisabledReason, err)
	case errors.Is(err, identity.ErrRefused):
		return source.FetchFailed(sourcev1.InvalidProviderConfigurationReason, err)
	}
	return source.FetchFailed(sourcev1.URLInvalidReason, err)
}

// parseRef reads spec.ref, of which the first in this order counts: digest, semver, tag.
func parseRef(repository name.Repository, ref *sourcev1.OCIRepositoryRef) (reference, error) {
	followed := reference{repository: repository, tag: defaultTag}
	switch {
	case ref == nil:
	case ref.Digest != "":
		hash, err := v1.NewHash(ref.Digest)
		if err != nil || hash.Algorithm != "sha256" {
			return reference{}, fmt.Errorf("spec.ref.digest %q is not of the form sha256:<64 hexadecimal digits>", ref.Digest)
		}
		followed.digest = hash.String()
	case ref.SemVer != "":
		var filter *imagev1.TagFilter
		if ref.SemverFilter != "" {
			filter = &imagev1.TagFilter{Pattern: ref.SemverFilter}
		}
		if _, err := pattern.Versions(ref.SemVer); err != nil {
			return reference{}, fmt.Errorf("spec.ref.semver: %w", err)
		}
		versions, err := policy.Compile(imagev1.ImagePolicyChoice{SemVer: &imagev1.SemVerPolicy{Range: ref.SemVer}}, filter)
		if err != nil {
			return reference{}, fmt.Errorf("spec.ref.semver %q, or its semverFilter %.200q: %w", ref.SemVer, ref.SemverFilter, err)
		}
		followed.versions = versions
	default:
		followed.tag = cmp.Or(ref.Tag, defaultTag)
		if _, err := name.NewTag(repository.String()+":"+followed.tag, name.StrictValidation); err != nil {
			return reference{}, fmt.Errorf("spec.ref.tag %.200q is no tag: %w", ref.Tag, err)
		}
	}
	return followed, nil
}

// best is the tag of the highest version in the range, or nothing.
func (ref reference) best(tags iter.Seq[string]) string {
	if !ref.charts {
		return ref.versions.Select(tags).Tag
	}
	chosen := ref.versions.Select(func(yield func(string) bool) {
		for tag := range tags {
			if !yield(strings.ReplaceAll(tag, "_", "+")) {
				return
			}
		}
	})
	return strings.ReplaceAll(chosen.Tag, "+", "_")
}

// registrySpec is what a source says of how its registry is reached. A Secret, and the pull
// secrets of a ServiceAccount, come before the identity of a cloud, as in Flux.
func registrySpec(obj *sourcev1.OCIRepository) registry.Spec {
	spec := registry.Spec{
		Kind: sourcev1.OCIRepositoryKind, Namespace: obj.Namespace, Name: obj.Name,
		Image: strings.TrimPrefix(obj.Spec.URL, sourcev1.OCIRepositoryPrefix), Insecure: obj.Spec.Insecure, TrustAny: obj.Spec.Insecure,
		Provider: obj.Spec.Provider, ServiceAccountName: obj.Spec.ServiceAccountName, PullSecretsFirst: true,
	}
	for to, ref := range map[*string]*meta.LocalObjectReference{
		&spec.SecretRef: obj.Spec.SecretRef, &spec.CertSecretRef: obj.Spec.CertSecretRef, &spec.ProxySecretRef: obj.Spec.ProxySecretRef,
	} {
		if ref != nil {
			*to = ref.Name
		}
	}
	if spec.SecretRef != "" {
		spec.Provider = sourcev1.GenericOCIProvider
	}
	return spec
}
