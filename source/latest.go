// SPDX-License-Identifier: Apache-2.0

package source

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Latest keeps what the latest reconcile of each source found out, so that the next one need not ask for it again: one value
// an object, which its reconciler deletes with it. The zero Latest is empty. It is safe for concurrent use.
type Latest[V any] struct {
	mu     sync.Mutex
	values map[types.NamespacedName]V
}

// Get returns what is kept of a source, or the zero value.
func (l *Latest[V]) Get(key types.NamespacedName) V {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.values[key]
}

// Put keeps a value of a source instead of the one before.
func (l *Latest[V]) Put(key types.NamespacedName, value V) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.values == nil {
		l.values = map[types.NamespacedName]V{}
	}
	l.values[key] = value
}

// Delete drops what is kept of a source.
func (l *Latest[V]) Delete(key types.NamespacedName) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.values, key)
}

// Len is the number of sources that something is kept of.
func (l *Latest[V]) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.values)
}

// SecretVersion names the present content of a Secret, without reading it: another one has another name, and so has one that
// was deleted and made anew. One that is not there has a name, too.
func SecretVersion(ctx context.Context, c client.Reader, key types.NamespacedName) (string, error) {
	var secret metav1.PartialObjectMetadata
	secret.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	if err := client.IgnoreNotFound(c.Get(ctx, key, &secret)); err != nil {
		return "", fmt.Errorf("reading Secret %s: %w", key, err)
	}
	return string(secret.UID) + "/" + secret.ResourceVersion, nil
}
