// SPDX-License-Identifier: Apache-2.0

package contract

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/yaml"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/canary/router"
)

// Fixture is one router in one cluster, with the plainest Canary that it can do.
type Fixture struct {
	*testing.T
	router.Router
	Provider provider.Provider
	Example  Example
	Cluster  client.WithWatch
	Canary   *flaggerv1.Canary
	// Collected means that a garbage collector deletes what has lost its owner.
	Collected bool
	// Given are the keys of what the owner made.
	Given map[string]bool
}

// dangling is a Service that goes with its canary.
var dangling = regexp.MustCompile("app(-[0-9]+(-router-[a-z0-9]+)?)?-(primary|canary)([^a-z]|$)")

// AsJSON is what an object says, without its name and owner.
func AsJSON(o *unstructured.Unstructured) string {
	text, _ := json.Marshal(map[string]any{"spec": o.Object["spec"], "annotations": o.GetAnnotations()})
	return string(text)
}

// Merged returns a map with one more key.
func Merged(m map[string]string, key, value string) map[string]string {
	out := map[string]string{key: value}
	for k, v := range m {
		if k != key {
			out[k] = v
		}
	}
	return out
}

// Must ends the test for an error.
func (t *Fixture) Must(err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (t *Fixture) ifMade() {
	t.Helper()
	if t.Provider.InTarget {
		t.Skip("the target is the route: it is neither made nor deleted")
	}
}

// Create makes what the owner has.
func (t *Fixture) Create(documents string) {
	t.Helper()
	for _, document := range strings.Split(documents, "---\n") {
		o := &unstructured.Unstructured{}
		names := strings.NewReplacer("NAMESPACE", t.Canary.Namespace, "APP", t.Canary.Name)
		t.Must(yaml.Unmarshal([]byte(names.Replace(document)), &o.Object))
		if o.Object == nil {
			continue
		}
		t.Must(t.Cluster.Create(t.Context(), o))
	}
}

// Start is what a controller does first.
func (t *Fixture) Start(w provider.Weights) {
	t.Helper()
	t.Must(t.Reconcile(t.Context(), t.Canary))
	t.Set(w)
}

// Set sets weights.
func (t *Fixture) Set(w provider.Weights) {
	t.Helper()
	t.Must(t.SetWeights(t.Context(), t.Canary, w))
}

// Wants compares the weights that the router reads with these.
func (t *Fixture) Wants(w provider.Weights) {
	t.Helper()
	got, err := t.Weights(t.Context(), t.Canary)
	t.Must(err)
	if diff := cmp.Diff(w, got); diff != "" {
		t.Errorf("weights (-want +got):\n%s", diff)
	}
}

// All returns the objects that the router names and that exist.
func (t *Fixture) All() map[string]*unstructured.Unstructured {
	t.Helper()
	found := map[string]*unstructured.Unstructured{}
	for _, o := range t.Objects(t.Canary) {
		live := &unstructured.Unstructured{}
		live.SetGroupVersionKind(o.GroupVersionKind)
		err := t.Cluster.Get(t.Context(), o.NamespacedName, live)
		if client.IgnoreNotFound(err) != nil {
			t.Fatal(err)
		}
		if err == nil {
			found[o.Kind+"/"+o.Name] = live
		}
	}
	return found
}

// Made returns those that the router wrote, the one with the weights first.
func (t *Fixture) Made() []*unstructured.Unstructured {
	t.Helper()
	var out []*unstructured.Unstructured
	all := t.All()
	for _, o := range t.Objects(t.Canary) {
		key := o.Kind + "/" + o.Name
		if live := all[key]; live != nil && (t.Provider.InTarget || !t.Given[key]) {
			out = append(out, live)
		}
	}
	return out
}

func (t *Fixture) versions() map[string]string {
	t.Helper()
	out := map[string]string{}
	for key, o := range t.All() {
		out[key] = o.GetResourceVersion()
	}
	return out
}

// UnchangedBy fails the test if something writes an object.
func (t *Fixture) UnchangedBy(what string, do func() error) {
	t.Helper()
	before := t.All()
	t.Must(do())
	after := t.All()
	for _, key := range slices.Sorted(maps.Keys(after)) {
		if before[key] == nil || before[key].GetResourceVersion() != after[key].GetResourceVersion() {
			t.Errorf("%s wrote %s (-before +after):\n%s", what, key, cmp.Diff(before[key], after[key]))
		}
	}
	if len(before) != len(after) {
		t.Errorf("%s left %d of %d objects", what, len(after), len(before))
	}
}

// DeleteMade deletes what the router wrote.
func (t *Fixture) DeleteMade() {
	t.Helper()
	for _, o := range t.Made() {
		t.Must(t.Cluster.Delete(t.Context(), o))
	}
}

// disown makes what the router wrote look like somebody else's.
func (t *Fixture) disown() {
	t.Helper()
	for _, o := range t.Made() {
		o.SetOwnerReferences(nil)
		t.Must(t.Cluster.Update(t.Context(), o))
	}
}

// racing is a client whose first write is overtaken by another's.
func (t *Fixture) racing() client.WithWatch {
	overtaken := false
	return interceptor.NewClient(t.Cluster, interceptor.Funcs{
		Patch: func(ctx context.Context, w client.WithWatch, o client.Object, patch client.Patch, opts ...client.PatchOption) error {
			if !overtaken {
				overtaken = true
				live := &unstructured.Unstructured{}
				live.SetGroupVersionKind(o.GetObjectKind().GroupVersionKind())
				t.Must(w.Get(ctx, client.ObjectKeyFromObject(o), live))
				live.SetAnnotations(Merged(live.GetAnnotations(), "edited", "in between"))
				t.Must(w.Update(ctx, live))
			}
			return w.Patch(ctx, o, patch, opts...)
		},
	})
}

// RouterOver returns the router of the fixture over another client.
func (t *Fixture) RouterOver(c client.Client) router.Router {
	t.Helper()
	r, err := router.New(t.Provider.Name, router.Deps{Client: c, IngressClass: "edge"})
	t.Must(err)
	return r
}

// SaysWhatToInstall is about a cluster without the CRDs of the provider. It also holds
// for the last word: a Canary must be deletable when its proxy was uninstalled.
func (t *Fixture) SaysWhatToInstall() {
	t.Helper()
	for what, err := range map[string]error{
		"Reconcile":  t.Reconcile(t.Context(), t.Canary),
		"SetWeights": t.SetWeights(t.Context(), t.Canary, provider.Weights{Primary: 100}),
	} {
		if !errors.Is(err, router.ErrNotInstalled) || !strings.Contains(err.Error(), "install the CRDs of "+t.Provider.Product) {
			t.Errorf("%s: want ErrNotInstalled about %s, got %v", what, t.Provider.Product, err)
		}
		if errors.Is(err, reconcile.TerminalError(nil)) {
			t.Errorf("%s: CRDs may come any time: %v", what, err)
		}
	}
	if err := t.Finalize(t.Context(), t.Canary); err != nil {
		t.Errorf("Finalize: %v", err)
	}
}
