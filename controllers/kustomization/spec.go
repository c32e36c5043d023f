// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/apply"
	"github.com/sluice-cd/sluice/apply/build"
)

// specOf is the part of k's spec that decides what is built.
func specOf(k *kustomizev1.Kustomization, sub *build.Substitution) build.Spec {
	spec := build.Spec{
		Path: k.Spec.Path, TargetNamespace: k.Spec.TargetNamespace,
		NamePrefix: k.Spec.NamePrefix, NameSuffix: k.Spec.NameSuffix,
		Patches: k.Spec.Patches, Images: k.Spec.Images,
		Components: k.Spec.Components, IgnoreMissingComponents: k.Spec.IgnoreMissingComponents,
		Substitution: sub,
	}
	for _, option := range k.Spec.BuildMetadata {
		spec.BuildMetadata = append(spec.BuildMetadata, string(option))
	}
	return spec
}

// substitution reads the values of spec.postBuild, and the versions of what they come
// from; nil when there is none.
func substitution(ctx context.Context, live client.Reader, k *kustomizev1.Kustomization) (*build.Substitution, inputs, error) {
	post, seen := k.Spec.PostBuild, inputs{}
	if post == nil {
		return nil, seen, nil
	}
	sub := &build.Substitution{
		Values: map[string]string{},
		Always: k.GetSubstituteStrategy() == kustomizev1.SubstituteStrategyAlways,
	}
	for _, ref := range post.SubstituteFrom {
		version, err := valuesFrom(ctx, live, k.Namespace, ref, sub)
		if err != nil {
			return nil, nil, fmt.Errorf("substitute from '%s/%s': %w", ref.Kind, ref.Name, err)
		}
		seen[inputOf(ref)] = version
		if err := checkSize(sub); err != nil {
			return nil, nil, err
		}
	}
	maps.Copy(sub.Values, post.Substitute)
	return sub, seen, checkSize(sub)
}

// maxVariables is how many bytes the names and values of all variables have at most.
// They are held for as long as the Kustomization is there, so that errors do not show
// them. It is as much as one ConfigMap may have.
const maxVariables = 1 << 20

func checkSize(sub *build.Substitution) error {
	total := 0
	for name, value := range sub.Values {
		total += len(name) + len(value)
	}
	for _, value := range sub.Secret { // of the same name, the last counts, and all are held
		total += len(value)
	}
	if total > maxVariables {
		return fmt.Errorf("%w: more than %d bytes of variables in spec.postBuild, those of Secrets counted twice; "+
			"give it ConfigMaps and Secrets that have nothing else", build.ErrTooLarge, maxVariables)
	}
	return nil
}

// valuesFrom adds the data of a ConfigMap or Secret, read from the API server:
// keeping all of them in memory for this would be a poor trade. It returns the version
// that was read, "" of what is not there and need not be.
func valuesFrom(
	ctx context.Context, live client.Reader, namespace string, ref kustomizev1.SubstituteReference, sub *build.Substitution,
) (string, error) {
	key := types.NamespacedName{Namespace: namespace, Name: ref.Name}
	read := func(obj client.Object) error {
		err := live.Get(ctx, key, obj)
		if ref.Optional && apierrors.IsNotFound(err) {
			return nil
		}
		return err
	}
	switch ref.Kind {
	case "ConfigMap":
		var cm corev1.ConfigMap
		err := read(&cm)
		maps.Copy(sub.Values, cm.Data)
		return cm.ResourceVersion, err
	case "Secret":
		var secret corev1.Secret
		err := read(&secret)
		for name, value := range secret.Data {
			sub.Values[name] = string(value)
			sub.Secret = append(sub.Secret, string(value))
		}
		return secret.ResourceVersion, err
	default:
		return "", fmt.Errorf("kind must be ConfigMap or Secret: %w", errUnsupported)
	}
}

// given is what a build is given beside the files of the source.
type given struct {
	substitution *build.Substitution
	keys         keys
	inputs       inputs // the versions of what it was read from
}

// readGiven reads what a build of k is given.
func readGiven(ctx context.Context, live client.Reader, d *Decryption, k *kustomizev1.Kustomization) (given, error) {
	sub, seen, err := substitution(ctx, live, k)
	if err != nil {
		return given{}, err
	}
	with, err := d.readKeys(ctx, live, k, seen)
	return given{substitution: sub, keys: with, inputs: seen}, err
}

// digest identifies what a build is given.
func (g given) digest() string {
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
