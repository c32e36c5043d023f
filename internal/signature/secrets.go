// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// secrets reads Secrets of one namespace.
type secrets struct {
	reader    client.Reader
	namespace string
}

// get returns the keys of a Secret. That there is no such Secret is ErrConfig;
// that the API server does not answer is not.
func (s secrets) get(ctx context.Context, name string) (map[string][]byte, error) {
	var secret corev1.Secret
	key := types.NamespacedName{Namespace: s.namespace, Name: name}
	err := s.reader.Get(ctx, key, &secret)
	switch {
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("%w: reading Secret %s: %w", ErrConfig, key, err)
	case err != nil:
		return nil, fmt.Errorf("reading Secret %s: %w", key, err)
	}
	return secret.Data, nil
}

// refuse is an error about what a Secret holds. The reason must not quote it.
func (s secrets) refuse(name, format string, args ...any) error {
	return fmt.Errorf("%w: Secret %s/%s: %s", ErrConfig, s.namespace, name, fmt.Sprintf(format, args...))
}

// withSuffix returns the keys that end in one of the suffixes, in order.
func withSuffix(data map[string][]byte, suffixes ...string) []string {
	keys := slices.Sorted(maps.Keys(data))
	return slices.DeleteFunc(keys, func(key string) bool {
		return !slices.ContainsFunc(suffixes, func(suffix string) bool { return strings.HasSuffix(key, suffix) })
	})
}
