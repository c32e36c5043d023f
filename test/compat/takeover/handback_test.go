// SPDX-License-Identifier: Apache-2.0

package takeover

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	kjson "sigs.k8s.io/json"

	"github.com/sluice-cd/sluice/test/harness"
)

// strict decodes an object into a Go type; a field that the type does not have
// is an error.
func strict[T any](object *unstructured.Unstructured, into T) (T, error) {
	raw, err := object.MarshalJSON()
	if err != nil {
		return into, err
	}
	unknown, err := kjson.UnmarshalStrict(raw, into)
	return into, errors.Join(append(unknown, err)...)
}

// upstreamReadsEveryObject replaces the CRDs that Sluice extends by upstream's, under which
// the API server forgets Sluice's extensions, and reads and writes every object
// as upstream's controllers would.
func (f *fleet) upstreamReadsEveryObject(t *testing.T) {
	f.replaceCRDs(t)
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			var object client.Object
			harness.MustEventually(t, "serving the object as upstream knows it", func(ctx context.Context) (bool, string) {
				var err error
				object, err = f.asUpstream(ctx, name, app)
				return err == nil, fmt.Sprint(err)
			})
			var finalizers []string
			if !kind.stateless && !kind.foreign {
				finalizers = []string{"finalizers.fluxcd.io"}
			}
			if diff := cmp.Diff(finalizers, object.GetFinalizers()); diff != "" {
				t.Errorf("finalizers (-want +got):\n%s", diff)
			}
			if kind.stateless {
				object.SetAnnotations(map[string]string{"upstream": "writes"})
			} else if err := f.upstream.Status().Update(t.Context(), object, client.FieldOwner(kind.manager)); err != nil {
				t.Errorf("upstream cannot write the status: %v", err)
			}
			if err := f.upstream.Update(t.Context(), object, client.FieldOwner(kind.manager)); err != nil {
				t.Errorf("upstream cannot write the object: %v", err)
			}
		})
	}
}

// asUpstream reads an object into upstream's Go type.
func (f *fleet) asUpstream(ctx context.Context, kind, name string) (client.Object, error) {
	for _, version := range []string{"source.%s/v1", "kustomize.%s/v1", "image.%s/v1", "notification.%s/v1", "notification.%s/v1beta3"} {
		live := &unstructured.Unstructured{}
		live.SetAPIVersion(fmt.Sprintf(version, "toolkit.fluxcd.io"))
		live.SetKind(kind)
		err := f.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, live)
		if err == nil {
			return strict(live, kinds[kind].upstream())
		}
	}
	return nil, fmt.Errorf("nobody serves %s %s", kind, name)
}

// replaceCRDs applies upstream's CRDs of the kinds that Sluice extends until the test ends.
func (f *fleet) replaceCRDs(t *testing.T) {
	t.Helper()
	files, err := filepath.Glob("testdata/upstream/*.yaml")
	if err != nil || len(files) != 5 {
		t.Fatalf("found %d CRDs (%v), want 5: make generate", len(files), err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
		defer cancel()
		if err := f.Install(ctx); err != nil {
			t.Error(err)
		}
	})
	for _, file := range files {
		if err := f.ApplyFile(t.Context(), file); err != nil {
			t.Fatal(err)
		}
	}
}

// upstreamAppliesWithoutConflict applies what Git has as kustomize-controller
// would, without force: whatever Sluice applied has to be owned by that name
// alone.
func (f *fleet) upstreamAppliesWithoutConflict(t *testing.T) {
	file, err := f.repo.File(t.Context(), "deploy/podinfo.yaml")
	if err != nil {
		t.Fatal(err)
	}
	live := &unstructured.Unstructured{}
	for _, object := range parse(t, file) {
		live.SetGroupVersionKind(object.GroupVersionKind())
		f.get(t, app, live)
		f.apply(t, object)
		if object.GetGeneration() != live.GetGeneration() {
			t.Errorf("upstream would change the object: generation %d, was %d", object.GetGeneration(), live.GetGeneration())
		}
	}
	var managers []string
	for _, entry := range live.GetManagedFields() {
		if entry.Subresource == "" {
			managers = append(managers, entry.Manager)
		}
	}
	// The Deployment's own controller annotates it.
	managers = slices.DeleteFunc(managers, func(name string) bool { return name == "kube-controller-manager" })
	if diff := cmp.Diff([]string{applier}, managers); diff != "" {
		t.Errorf("field managers (-want +got):\n%s", diff)
	}
}

// remove deletes the namespace. No controller runs any more: the finalizers go
// as upstream's controllers would take them.
func (f *fleet) remove(t *testing.T, ns *corev1.Namespace) {
	ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
	defer cancel()
	release := func(kind, name string) {
		object, err := f.asUpstream(ctx, kind, name)
		if err != nil {
			return // never made
		}
		object.SetFinalizers(nil)
		if err := f.upstream.Update(ctx, object); err != nil {
			t.Errorf("%s %s cannot be released: %v", kind, name, err)
		}
	}
	release("GitRepository", included)
	for kind := range kinds {
		release(kind, app)
	}
	if err := f.Client.Delete(ctx, ns, client.PropagationPolicy(metav1.DeletePropagationBackground)); err != nil {
		t.Error(err)
	}
	_, err := harness.Eventually(ctx, "the deletion of the namespace", harness.Patience, func(ctx context.Context) (bool, string) {
		err := f.Client.Get(ctx, client.ObjectKeyFromObject(ns), ns)
		return apierrors.IsNotFound(err), fmt.Sprint(ns.Status)
	})
	if err != nil {
		t.Error(err)
	}
}
