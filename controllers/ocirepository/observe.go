// SPDX-License-Identifier: Apache-2.0

package ocirepository

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/registry"
	"github.com/sluice-cd/sluice/scan"
	"github.com/sluice-cd/sluice/source"
)

// observed is what the registry says now.
type observed struct {
	image registry.Image
	// tag is empty when a digest is followed.
	tag, digest string
}

// revision is what statuses call it.
func (o observed) revision() string {
	if o.tag == "" {
		return o.digest
	}
	return o.tag + "@" + o.digest
}

// observe asks the registry for the digest of the source's ref.
func (r *Reconciler) observe(ctx context.Context, obj *sourcev1.OCIRepository, ref reference) (observed, error) {
	access, err := r.Registry.Access(ctx, r.Secrets, registrySpec(obj))
	switch {
	case errors.Is(err, registry.ErrCredentials):
		return observed{}, source.FetchFailed(sourcev1.AuthenticationFailedReason, err)
	case err != nil: // the account has no pull secrets, and the provider is refused
		return observed{}, reconcile.TerminalError(providerFailed(err))
	}
	seen := observed{
		image:  registry.Image{Repository: ref.repository, Access: access, Timeout: source.Timeout(obj.Spec.Timeout)},
		tag:    ref.tag,
		digest: ref.digest,
	}
	if ref.digest != "" {
		seen.tag = ""
		return seen, nil
	}
	if ref.versions != nil {
		if seen.tag, err = r.highest(ctx, obj, seen.image, ref); err != nil {
			return observed{}, err
		}
	}
	if seen.digest, err = r.Registry.Digest(ctx, seen.image, seen.tag); err != nil {
		return observed{}, pullFailed(seen.image, fmt.Errorf("failed to determine artifact digest: %w", err))
	}
	return seen, nil
}

// highest is the tag of the highest version that spec.ref.semver allows.
func (r *Reconciler) highest(ctx context.Context, obj *sourcev1.OCIRepository, image registry.Image, ref reference) (string, error) {
	age := within(obj)
	if r.takePushed(client.ObjectKeyFromObject(obj)) {
		age = 0
	}
	tags, err := r.Scanner.List(ctx, scan.Request{
		Key: client.ObjectKeyFromObject(obj), Target: scan.TagsOf(image.Repository, image.Timeout), Access: image.Access, Within: age,
	})
	if err != nil {
		err = fmt.Errorf("failed to determine the artifact tag for '%s': %w", obj.Spec.URL, err)
		var shrunk *scan.Shrunk
		if errors.As(err, &shrunk) {
			return "", reconciler.Waiting(source.FetchFailed(sourcev1.ReadOperationFailedReason, err), shrunk.After)
		}
		return "", rateLimited(image, err, sourcev1.ReadOperationFailedReason)
	}
	if _, err := ref.versions.Work(tags.Bytes()); err != nil {
		return "", source.FetchFailed(sourcev1.ReadOperationFailedReason, fmt.Errorf("spec.ref.semverFilter: %w", err))
	}
	tag := ref.best(tags.All())
	if tag == "" {
		return "", reconciler.Waiting(source.FetchFailed(sourcev1.ReadOperationFailedReason,
			fmt.Errorf("failed to determine the artifact tag for '%s': no match found for semver: %s", obj.Spec.URL, obj.Spec.Reference.SemVer)),
			obj.Spec.Interval.Duration)
	}
	return tag, nil
}

// within is how old a list of tags may be that somebody else asked for: none, when
// somebody waits for what is there now.
func within(obj *sourcev1.OCIRepository) time.Duration {
	at, asked := meta.ReconcileAnnotationValue(obj.Annotations)
	if asked && at != obj.Status.LastHandledReconcileAt || obj.Generation != obj.Status.ObservedGeneration ||
		!apimeta.IsStatusConditionTrue(obj.Status.Conditions, meta.ReadyCondition) {
		return 0
	}
	return obj.Spec.Interval.Duration / 2
}

// pullFailed is an error of the registry, with what may help.
func pullFailed(image registry.Image, err error) error {
	return rateLimited(image, err, sourcev1.OCIPullFailedReason)
}

// rateLimited is an error of the registry, which is left alone for as long as it asks.
func rateLimited(image registry.Image, err error, reason string) error {
	if errors.Is(err, registry.ErrUnauthorized) {
		err = fmt.Errorf("%w; %s", err, image.Access.Refused(image.Repository))
	}
	var limited *registry.RateLimited
	if errors.As(err, &limited) {
		return reconciler.Waiting(source.FetchFailed(reason, err), limited.After)
	}
	return source.FetchFailed(reason, err)
}
