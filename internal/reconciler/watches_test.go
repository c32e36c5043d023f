// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/sluice-cd/sluice/test/make"
)

func TestWhomAChangeConcerns(t *testing.T) {
	plain := map[string]string{"a": "b"}
	cache := fake.NewClientBuilder().WithObjects(
		make.Secret("apps", "one", plain), make.Secret("apps", "two", plain), make.Secret("infra", "one", plain)).Build()
	named := func(s *corev1.Secret) bool { return s.Name == "one" }
	tests := map[string]struct {
		wanted  func(*corev1.Secret) bool
		options []client.ListOption
		want    []string
	}{
		"all":                           {wanted: Any[*corev1.Secret], want: []string{"apps/one", "apps/two", "infra/one"}},
		"those that are wanted":         {wanted: named, want: []string{"apps/one", "infra/one"}},
		"those that options select too": {wanted: named, options: []client.ListOption{client.InNamespace("apps")}, want: []string{"apps/one"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, request := range Requests(t.Context(), cache, &corev1.SecretList{}, tc.wanted, tc.options...) {
				got = append(got, request.String())
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNobodyIsReconciledForAListThatFails(t *testing.T) {
	cache := interceptor.NewClient(fake.NewClientBuilder().Build(), interceptor.Funcs{
		List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error {
			return errors.New("no")
		},
	})
	if got := Requests(t.Context(), cache, &corev1.SecretList{}, Any[*corev1.Secret]); got != nil {
		t.Errorf("got %v", got)
	}
}

func TestUpdatesOfAKind(t *testing.T) {
	typed := Updates(func(before, after *corev1.Secret) bool { return before.Type != after.Type })
	secret := func(kind corev1.SecretType) *corev1.Secret { return &corev1.Secret{Type: kind} }
	tests := map[string]struct {
		before, after client.Object
		want          bool
	}{
		"that differ":       {secret("a"), secret("b"), true},
		"that do not":       {secret("a"), secret("a"), false},
		"of another kind":   {&metav1.PartialObjectMetadata{}, secret("b"), false},
		"to another kind":   {secret("a"), &metav1.PartialObjectMetadata{}, false},
		"of none whatever":  {nil, nil, false},
		"that make nothing": {secret("a"), nil, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := typed(event.UpdateEvent{ObjectOld: tc.before, ObjectNew: tc.after}); got != tc.want {
				t.Errorf("passes %v, want %v", got, tc.want)
			}
		})
	}
}
