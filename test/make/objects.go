// SPDX-License-Identifier: Apache-2.0

package make

import (
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// named is the metadata of an object that nobody has edited yet.
func named(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name, Generation: 1}
}

// changed is an object after all changes.
func changed[T any](object *T, changes []func(*T)) *T {
	for _, change := range changes {
		change(object)
	}
	return object
}

// Secret is one of no particular type.
func Secret[V ~string | ~[]byte](namespace, name string, data map[string]V, changes ...func(*corev1.Secret)) *corev1.Secret {
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: map[string][]byte{}}
	for key, value := range data {
		s.Data[key] = []byte(value)
	}
	return changed(s, changes)
}

// Login is the Secret git of the user "user" with the password "secret", which the
// servers of test/fake accept.
func Login(namespace string) *corev1.Secret {
	return Secret(namespace, "git", map[string]string{"username": "user", "password": "secret"})
}

// GitRepository follows the branch main of a repository once an hour, without
// credentials. Nothing answers at its URL.
func GitRepository(namespace, name string, changes ...func(*sourcev1.GitRepository)) *sourcev1.GitRepository {
	return changed(&sourcev1.GitRepository{
		ObjectMeta: named(namespace, name),
		Spec: sourcev1.GitRepositorySpec{
			URL:       "https://127.0.0.1:1/" + name,
			Interval:  metav1.Duration{Duration: time.Hour},
			Reference: &sourcev1.GitRepositoryRef{Branch: "main"},
		},
	}, changes)
}

// WithSecret makes a GitRepository use a Secret of its namespace.
func WithSecret(name string) func(*sourcev1.GitRepository) {
	return func(g *sourcev1.GitRepository) { g.Spec.SecretRef = &meta.LocalObjectReference{Name: name} }
}
