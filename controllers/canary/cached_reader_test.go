// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"context"
	"errors"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/sluice-cd/sluice/internal/lru"
)

// readerEnv is a cachedReader in front of a cluster whose watch says what seen is.
type readerEnv struct {
	t     *testing.T
	api   client.WithWatch
	r     *cachedReader
	seen  string
	reads int
	// meanwhile is run within the next read, after the API server has answered.
	meanwhile func()
	// after is the error of writes that took place all the same.
	after error
}

func newReaderEnv(t *testing.T) *readerEnv {
	w := &readerEnv{t: t}
	route := w.object()
	w.api = fake.NewClientBuilder().WithScheme(runtime.NewScheme()).WithObjects(route).Build()
	w.r = &cachedReader{
		objects: lru.NewCounted[clusterRef, *unstructured.Unstructured](cachedObjects),
		version: func(context.Context, clusterRef) string { return w.seen },
	}
	w.r.Client = interceptor.NewClient(w.api, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			w.reads++
			err := c.Get(ctx, key, o, opts...)
			if do := w.meanwhile; do != nil {
				w.meanwhile = nil
				do()
			}
			return err
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			if err := c.Patch(ctx, o, p, opts...); err != nil {
				return err
			}
			return w.after
		},
	})
	return w
}

func (w *readerEnv) object() *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{}}
	o.SetGroupVersionKind(schema.GroupVersionKind{Group: "gateway.networking.k8s.io", Version: "v1", Kind: "HTTPRoute"})
	o.SetNamespace("test")
	o.SetName("podinfo")
	return o
}

// weight is what the object says by way of a client; the version is the watch's next.
func (w *readerEnv) weight(by client.Reader) (says, version string) {
	w.t.Helper()
	o := w.object()
	if err := by.Get(w.t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
		w.t.Fatal(err)
	}
	return o.GetLabels()["weight"], o.GetResourceVersion()
}

func (w *readerEnv) write(by client.Writer, weight string) error {
	return by.Patch(w.t.Context(), w.object(),
		client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"weight":"`+weight+`"}}}`)))
}

func (w *readerEnv) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// informed lets the watch see what is there.
func (w *readerEnv) informed() { _, w.seen = w.weight(w.api) }

func TestObjectsAreReadAgainOnlyWhenTheyMayHaveChanged(t *testing.T) {
	for name, tc := range map[string]struct {
		between func(w *readerEnv)
		says    string
		reads   int
	}{
		"nothing has changed": {func(w *readerEnv) { w.informed() }, "10", 0},
		"there is no watch":   {func(*readerEnv) {}, "10", 1},
		"somebody has written, and the watch knows": {func(w *readerEnv) {
			w.must(w.write(w.api, "20"))
			w.informed()
		}, "20", 1},
		"we have written, and the watch does not know": {func(w *readerEnv) {
			w.informed()
			w.must(w.write(w.r, "20"))
		}, "20", 1},
		"we have written, and the watch knows": {func(w *readerEnv) {
			w.must(w.write(w.r, "20"))
			w.informed()
		}, "20", 0},
		"we have written, and lost the answer": {func(w *readerEnv) {
			w.informed()
			w.after = errors.New("connection lost")
			if err := w.write(w.r, "20"); err == nil {
				w.t.Error("want the error")
			}
		}, "20", 1},
		"we wrote while it was read": {func(w *readerEnv) {
			w.informed()
			w.r.objects.Clear()
			w.meanwhile = func() { w.must(w.write(w.r, "20")) }
			w.weight(w.r)
			w.reads = 0
		}, "20", 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newReaderEnv(t)
			w.must(w.write(w.api, "10"))
			w.weight(w.r)
			w.reads = 0
			tc.between(w)
			if says, _ := w.weight(w.r); says != tc.says || w.reads != tc.reads {
				t.Errorf("says %s after %d reads, want %s after %d", says, w.reads, tc.says, tc.reads)
			}
		})
	}
}

func TestWhatIsCachedIsNobodysToChange(t *testing.T) {
	w := newReaderEnv(t)
	w.must(w.write(w.api, "10"))
	w.weight(w.r)
	w.informed()
	o := w.object()
	w.must(w.r.Get(t.Context(), client.ObjectKeyFromObject(o), o))
	o.SetLabels(map[string]string{"weight": "90"})
	if says, _ := w.weight(w.r); says != "10" {
		t.Errorf("says %s", says)
	}
}

func TestWhatWasDeletedIsNotCached(t *testing.T) {
	w := newReaderEnv(t)
	w.weight(w.r)
	w.informed()
	w.must(w.r.Delete(t.Context(), w.object()))
	if err := w.r.Get(t.Context(), client.ObjectKeyFromObject(w.object()), w.object()); client.IgnoreNotFound(err) != nil || err == nil {
		t.Errorf("want that it is not found, got %v", err)
	}
}
