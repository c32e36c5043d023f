// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"
)

// TestAListThatNeverEndsIsGivenUp: whoever owns another cluster decides what it answers.
func TestAListThatNeverEndsIsGivenUp(t *testing.T) {
	pages := 0
	endless := &cache.ListWatch{ListWithContextFunc: func(_ context.Context, options metav1.ListOptions) (runtime.Object, error) {
		if options.ResourceVersion == "0" {
			t.Error("asked for all at once")
		}
		pages++
		list := &unstructured.UnstructuredList{Items: make([]unstructured.Unstructured, 10)}
		list.SetContinue("more")
		return list, nil
	}}
	lw, ok := Limits{Objects: 25}.of(endless).(cache.ListerWatcherWithContext)
	if !ok {
		t.Fatal("no context")
	}
	for range 2 { // each list is counted anew
		pages = 0
		options := metav1.ListOptions{ResourceVersion: "0"}
		var err error
		for err == nil {
			_, err = lw.ListWithContext(t.Context(), options)
			options = metav1.ListOptions{Continue: "more"}
		}
		if !strings.Contains(err.Error(), "more than 25 objects") || pages != 3 {
			t.Errorf("%d pages, %v", pages, err)
		}
	}
}

// Few objects may be large: only their number was counted.
func TestAListOfTooManyBytesIsGivenUp(t *testing.T) {
	large := strings.Repeat("x", 1000)
	object := unstructured.Unstructured{Object: map[string]any{"data": map[string]any{"list": []any{large}, large: 1}}}
	described := metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"a": large, "b": large}}}
	for name, page := range map[string]runtime.Object{
		"objects":  &unstructured.UnstructuredList{Items: []unstructured.Unstructured{object}},
		"metadata": &metav1.PartialObjectMetadataList{Items: []metav1.PartialObjectMetadata{described}},
	} {
		endless := &cache.ListWatch{ListWithContextFunc: func(context.Context, metav1.ListOptions) (runtime.Object, error) { return page, nil }}
		lw, ok := Limits{Objects: 1000, Bytes: 5000}.of(endless).(cache.ListerWatcherWithContext)
		if !ok {
			t.Fatal("no context")
		}
		for range 2 { // each list is counted anew
			pages := 0
			var options metav1.ListOptions
			var err error
			for ; err == nil && pages < 100; pages++ {
				_, err = lw.ListWithContext(t.Context(), options)
				options.Continue = "more"
			}
			if err == nil || !strings.Contains(err.Error(), "objects of more than 5000 bytes") || pages != 3 {
				t.Errorf("%s: %d pages, %v", name, pages, err)
			}
		}
	}
}

func TestAClusterOfSomebodyElseHasALimitOfInformers(t *testing.T) {
	s := &Informers{limits: Limits{Targets: 1}, byTarget: map[Target]*informer{{Name: "other"}: {}}}
	if s.ensure(t.Context(), Target{Name: "one"}, nil) != nil {
		t.Error("one more")
	}
}
