// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/apply"
	"github.com/sluice-cd/sluice/apply/build"
)

// substitution reads the values of spec.postBuild, and the versions of what they come from,
// from the API server: keeping all of it in memory for this would be a poor trade.
func substitution(ctx context.Context, live client.Reader, k *kustomizev1.Kustomization) (*build.Substitution, inputs, error) {
	seen := inputs{}
	sub, err := build.ReadVariables(ctx, live, k, func(kind, name, version string) { seen[input{kind, name}] = version })
	if errors.Is(err, build.ErrSubstituteKind) {
		err = fmt.Errorf("%w: %w", err, errUnsupported)
	}
	return sub, seen, err
}

// buildParameters is what a build is given beside the files of the source.
type buildParameters struct {
	substitution *build.Substitution
	keys         keys
	inputs       inputs // the versions of what it was read from
}

// readBuildParameters reads what a build of k is given.
func (r *Reconciler) readBuildParameters(ctx context.Context, k *kustomizev1.Kustomization) (buildParameters, error) {
	sub, seen, err := substitution(ctx, r.live, k)
	if err != nil {
		return buildParameters{}, err
	}
	if sub != nil {
		sub.Lenient = r.LenientSubstitutions
	}
	with, err := r.Decryption.readKeys(ctx, r.live, k, seen)
	return buildParameters{substitution: sub, keys: with, inputs: seen}, err
}

// digest identifies what a build is given.
func (g buildParameters) digest() string {
	if with := g.keys.digest(); with != "" {
		return digestOf(g.substitution) + " " + with
	}
	return digestOf(g.substitution)
}

// digestOf identifies the values of a substitution.
func digestOf(sub *build.Substitution) string {
	if sub == nil {
		return ""
	}
	data, err := json.Marshal(sub.Values) // keys are sorted
	if err != nil {
		return err.Error() // strings do not fail to encode; if they did, no digest would match
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// references are the objects of spec.healthChecks. They are ignored where spec.wait
// covers what is applied.
func references(k *kustomizev1.Kustomization) []apply.Reference {
	if k.Spec.Wait {
		return nil
	}
	refs := make([]apply.Reference, 0, len(k.Spec.HealthChecks))
	for _, check := range k.Spec.HealthChecks {
		version := check.APIVersion
		if version == "" {
			version = "apps/v1"
		}
		refs = append(refs, apply.Reference{
			GroupVersionKind: schema.FromAPIVersionAndKind(version, check.Kind),
			Namespace:        check.Namespace, Name: check.Name,
		})
	}
	return refs
}
