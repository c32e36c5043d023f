// SPDX-License-Identifier: Apache-2.0

package app

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestContentsOfSecretsAreNotCachedByTheWayOfAnAnnotation(t *testing.T) {
	var f watchFlags
	options := cache.Options{DefaultTransform: cache.TransformStripManagedFields()}
	if err := f.restrict(&options, "flux-system"); err != nil {
		t.Fatal(err)
	}
	kept := 0
	for object, of := range options.ByObject {
		switch object.(type) {
		case *corev1.Secret, *corev1.ConfigMap:
		default:
			continue
		}
		kept++
		secret := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
			Annotations:   map[string]string{corev1.LastAppliedConfigAnnotation: `{"data":{"password":"aHVudGVyMg=="}}`, "other": "stays"},
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl"}},
		}}
		got, err := of.Transform(secret)
		if err != nil {
			t.Fatal(err)
		}
		cached := got.(client.Object)
		if len(cached.GetAnnotations()) != 1 || cached.GetAnnotations()["other"] != "stays" || cached.GetManagedFields() != nil {
			t.Errorf("of a %T the cache keeps %v", object, cached)
		}
	}
	if kept != 2 {
		t.Errorf("%d of Secret and ConfigMap are restricted", kept)
	}
}
