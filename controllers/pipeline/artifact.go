// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion"
	"github.com/sluice-cd/sluice/writeback"
)

// artifacts reads which versions of the artifacts of a pipeline are the newest.
type artifacts struct {
	pipeline *sluicev1.Pipeline
	client   client.Reader
}

// observe reads the newest versions, or why there is none, by artifact.
func (r artifacts) observe(ctx context.Context, seen *promotion.Observation) error {
	seen.Newest, seen.NotReady = map[string]promotion.Newest{}, map[string]string{}
	for _, a := range r.pipeline.Spec.Artifacts {
		read, object := r.chosen, a.ImagePolicyRef
		if a.OCIRepositoryRef != nil {
			read, object = r.fetched, a.OCIRepositoryRef
		}
		found, why, err := read(ctx, client.ObjectKey{Namespace: r.pipeline.Namespace, Name: object.Name})
		absent := (*absentError)(nil)
		switch {
		case errors.As(err, &absent):
			why = absent.Error()
			seen.Absent = cmp.Or(seen.Absent, fmt.Sprintf("artifact %s: %s", a.Name, why))
		case err != nil:
			return fmt.Errorf("artifact %s: %w", a.Name, err)
		case why == "" && found.Digest == "" && r.needsDigest(a.Name):
			why = fmt.Sprintf("ImagePolicy %s tells no digest, which tags are pointed at: %s", object.Name, digestRemedy)
		}
		if why != "" {
			seen.NotReady[a.Name] = fmt.Sprintf("artifact %s: %s", a.Name, why)
			continue
		}
		found.Artifact = a.Name
		seen.Newest[a.Name] = found
	}
	return nil
}

// needsDigest reports whether a tag is pointed at an artifact.
func (r artifacts) needsDigest(artifact string) bool {
	return slices.ContainsFunc(r.pipeline.Spec.Stages, func(s sluicev1.Stage) bool {
		return s.Write.Tag != nil && artifactOf(r.pipeline, s.Write.Tag) == artifact
	})
}

// absentError says that the object of an artifact does not exist.
type absentError struct {
	kind, field string
	key         client.ObjectKey
}

func (e *absentError) Error() string {
	return fmt.Sprintf("%s %s does not exist: create it, or correct its name in spec.artifacts[].%s", e.kind, e.key, e.field)
}

// chosen is what an ImagePolicy chose, or why there is nothing.
func (r artifacts) chosen(ctx context.Context, key client.ObjectKey) (found promotion.Newest, why string, err error) {
	var policy imagev1.ImagePolicy
	switch err := r.client.Get(ctx, key, &policy); {
	case apierrors.IsNotFound(err):
		return found, "", &absentError{imagev1.ImagePolicyKind, "imagePolicyRef", key}
	case err != nil:
		return found, "", fmt.Errorf("reading ImagePolicy %s: %w", key, err)
	}
	ref, ok := writeback.ChosenRef(&policy)
	if !ok {
		return found, fmt.Sprintf("ImagePolicy %s is not Ready", key), nil
	}
	return promotion.Newest{
		Version: sluicev1.Version{Image: ref.Name, Tag: ref.Tag, Digest: ref.Digest}, StandsIn: replacesQuarantined(&policy),
	}, "", nil
}

// fetched is the artifact of an OCIRepository, or why there is none.
func (r artifacts) fetched(ctx context.Context, key client.ObjectKey) (found promotion.Newest, why string, err error) {
	var repo sourcev1.OCIRepository
	switch err := r.client.Get(ctx, key, &repo); {
	case apierrors.IsNotFound(err):
		return found, "", &absentError{sourcev1.OCIRepositoryKind, "ociRepositoryRef", key}
	case apimeta.IsNoMatchError(err):
		return found, fmt.Sprintf("OCIRepository %s cannot be read: install the CRD of its kind, which comes with Sluice and with Flux", key), nil
	case err != nil:
		return found, "", fmt.Errorf("reading OCIRepository %s: %w", key, err)
	}
	ready := apimeta.FindStatusCondition(repo.Status.Conditions, meta.ReadyCondition)
	if ready == nil || ready.Status != metav1.ConditionTrue || ready.ObservedGeneration != repo.Generation || repo.Status.Artifact == nil {
		return found, fmt.Sprintf("OCIRepository %s is not Ready", key), nil
	}
	tag, digest := ociRevision(repo.Status.Artifact.Revision)
	if digest == "" {
		return found, fmt.Sprintf("OCIRepository %s has revision %q, which names no digest", key, repo.Status.Artifact.Revision), nil
	}
	image := strings.TrimPrefix(repo.Spec.URL, sourcev1.OCIRepositoryPrefix)
	return promotion.Newest{Version: sluicev1.Version{Image: image, Tag: tag, Digest: digest}}, "", nil
}

// ociRevision splits the revision of an OCI artifact in Flux's notation, TAG@DIGEST, or
// DIGEST alone. Other revisions, such as that of a commit, have no digest.
func ociRevision(revision string) (tag, digest string) {
	tag, digest, found := strings.Cut(revision, "@")
	if !found {
		tag, digest = "", revision
	}
	if hash, err := v1.NewHash(digest); err != nil || hash.Algorithm != "sha256" {
		return "", ""
	}
	return tag, digest
}
