// SPDX-License-Identifier: Apache-2.0

package build

import (
	"context"
	"fmt"
	"maps"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// SpecOf is the part of a Kustomization's spec that decides what is built.
func SpecOf(k *kustomizev1.Kustomization, sub *Substitution) Spec {
	spec := Spec{
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

// ErrSubstituteKind says that spec.postBuild.substituteFrom names neither a ConfigMap nor a Secret.
var ErrSubstituteKind = fmt.Errorf("kind must be ConfigMap or Secret")

// ReadVariables reads the values of spec.postBuild, nil when there is none. ConfigMaps and
// Secrets are read with reader, and seen is called for each of them with its resource version,
// which is "" if it does not exist and is optional. Without a reader, only values in the spec
// count.
func ReadVariables(
	ctx context.Context, reader client.Reader, k *kustomizev1.Kustomization, seen func(kind, name, version string),
) (*Substitution, error) {
	post := k.Spec.PostBuild
	if post == nil {
		return nil, nil
	}
	sub := &Substitution{Values: map[string]string{}, Always: k.GetSubstituteStrategy() == kustomizev1.SubstituteStrategyAlways}
	for i, ref := range post.SubstituteFrom {
		if reader == nil {
			continue
		}
		version, err := sub.readFrom(ctx, reader, k.Namespace, ref)
		if apierrors.IsNotFound(err) {
			err = fmt.Errorf("%w; create it in namespace %s, correct the name, or set optional: true", err, k.Namespace)
		}
		if err != nil {
			return nil, fmt.Errorf("spec.postBuild.substituteFrom[%d]: substitute from '%s/%s': %w", i, ref.Kind, ref.Name, err)
		}
		seen(ref.Kind, ref.Name, version)
		if err := sub.checkSize(); err != nil {
			return nil, err
		}
	}
	maps.Copy(sub.Values, post.Substitute)
	return sub, sub.checkSize()
}

// maxVariables is how many bytes the names and values of all variables have at most.
// Controllers hold them for as long as the Kustomization is there, so that errors do not
// show them. It is as much as one ConfigMap may have.
const maxVariables = 1 << 20

func (s *Substitution) checkSize() error {
	total := 0
	for name, value := range s.Values {
		total += len(name) + len(value)
	}
	for _, value := range s.Secret { // of the same name, the last counts, and all are held
		total += len(value)
	}
	if total > maxVariables {
		return fmt.Errorf("%w: more than %d bytes of variables in spec.postBuild, those of Secrets counted twice; "+
			"give it ConfigMaps and Secrets that have nothing else", ErrTooLarge, maxVariables)
	}
	return nil
}

// readFrom adds the data of a ConfigMap or Secret. It returns the version that was read.
func (s *Substitution) readFrom(
	ctx context.Context, reader client.Reader, namespace string, ref kustomizev1.SubstituteReference,
) (string, error) {
	key := types.NamespacedName{Namespace: namespace, Name: ref.Name}
	read := func(obj client.Object) error {
		err := reader.Get(ctx, key, obj)
		if ref.Optional && apierrors.IsNotFound(err) {
			return nil
		}
		return err
	}
	switch ref.Kind {
	case "ConfigMap":
		var cm corev1.ConfigMap
		err := read(&cm)
		maps.Copy(s.Values, cm.Data)
		return cm.ResourceVersion, err
	case "Secret":
		var secret corev1.Secret
		err := read(&secret)
		for name, value := range secret.Data {
			s.Values[name] = string(value)
			s.Secret = append(s.Secret, string(value))
		}
		return secret.ResourceVersion, err
	}
	return "", ErrSubstituteKind
}
