package router_test

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
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/yaml"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/canary/router"
)

// trial is one router in one cluster, with the plainest canary that it can do.
type trial struct {
	*testing.T
	router.Router
	subject
	name    string
	cluster client.WithWatch
	canary  *flaggerv1.Canary
	// collected means that what has lost its owner goes.
	collected bool
	// given are the keys of what the owner made.
	given map[string]bool
}

// contract is what every router keeps that moves users, on a fake API server and
// on a real one.
var contract = map[string]func(*trial){
	"what was never routed is finalized without a word": func(t *trial) {
		t.must(t.Finalize(t.Context(), t.canary))
	},
	"a route that is made sends everybody to the primary": func(t *trial) {
		t.must(t.Reconcile(t.Context(), t.canary))
		t.wants(provider.Weights{Primary: 100})
		t.unchangedBy("reconciling again", func() error { return t.Reconcile(t.Context(), t.canary) })
	},
	"weights are read back as they were set, and set only once": func(t *trial) {
		t.must(t.Reconcile(t.Context(), t.canary))
		for _, w := range []provider.Weights{{Primary: 80, Canary: 20}, {Canary: 100}, {Primary: 99, Canary: 1}, {Primary: 100}} {
			t.set(w)
			t.wants(w)
			t.unchangedBy("setting again", func() error { return t.SetWeights(t.Context(), t.canary, w) })
			t.unchangedBy("reconciling", func() error { return t.Reconcile(t.Context(), t.canary) })
			t.wants(w)
		}
	},
	"mirroring is read back, and ends": func(t *trial) {
		if !t.mirrors {
			t.Skip("cannot mirror")
		}
		t.canary.Spec.Analysis.Mirror = true
		t.must(t.Reconcile(t.Context(), t.canary))
		for _, w := range []provider.Weights{{Primary: 100, Mirror: true}, {Primary: 90, Canary: 10}, {Primary: 100}} {
			t.set(w)
			t.wants(w)
			t.unchangedBy("reconciling", func() error { return t.Reconcile(t.Context(), t.canary) })
		}
	},
	"an A/B test is for those whom it chooses": func(t *trial) {
		if t.match == nil {
			t.Skip("cannot choose users")
		}
		t.canary.Spec.Analysis.Match = t.match
		t.must(t.Supports(t.canary))
		t.must(t.Reconcile(t.Context(), t.canary))
		for _, w := range []provider.Weights{{Primary: 100}, {Canary: 100}, {Primary: 100}, {Canary: 100}} {
			t.set(w)
			t.wants(w)
			t.unchangedBy("reconciling", func() error { return t.Reconcile(t.Context(), t.canary) })
		}
	},
	"what an A/B test's users get says nothing about the others": func(t *trial) {
		if t.match == nil {
			t.Skip("cannot choose users")
		}
		t.canary.Spec.Analysis.Match = t.match
		t.set(provider.Weights{Canary: 100})
		t.canary.Spec.Analysis.Match = nil
		t.must(t.Reconcile(t.Context(), t.canary))
		t.wants(provider.Weights{Primary: 100})
	},
	"an A/B test is opened for everybody, and closed again": func(t *trial) {
		if t.match == nil {
			t.Skip("cannot choose users")
		}
		open := t.canary.DeepCopy()
		t.canary.Spec.Analysis.Match = t.match
		all := func() provider.Weights {
			w, err := t.Weights(t.Context(), open)
			t.must(err)
			return w
		}
		t.must(t.Reconcile(t.Context(), t.canary))
		t.set(provider.Weights{Canary: 100})
		t.must(t.SetWeights(t.Context(), open, provider.Weights{Canary: 100}))
		t.unchangedBy("reconciling", func() error { return t.Reconcile(t.Context(), open) })
		if w := all(); w.Canary != 100 {
			t.Errorf("everybody has %v", w)
		}
		t.wants(provider.Weights{Canary: 100}) // for those whom it chose, too
		t.set(provider.Weights{Canary: 100})
		if w := all(); w.Canary != 0 {
			t.Errorf("those who are not chosen have %v", w)
		}
		t.wants(provider.Weights{Canary: 100})
	},
	"what somebody else wrote survives": func(t *trial) {
		t.start(provider.Weights{Primary: 100})
		for _, o := range t.made() {
			o.SetLabels(merged(o.GetLabels(), "team", "web"))
			o.SetAnnotations(merged(o.GetAnnotations(), "example.com/note", "mine"))
			t.must(t.cluster.Update(t.Context(), o))
		}
		if t.theirs != nil {
			o := t.made()[0]
			t.theirs.write(o)
			t.must(t.cluster.Update(t.Context(), o))
		}
		t.set(provider.Weights{Primary: 80, Canary: 20})
		t.must(t.Reconcile(t.Context(), t.canary))
		for _, o := range t.made() {
			if o.GetLabels()["team"] != "web" || o.GetAnnotations()["example.com/note"] != "mine" {
				t.Errorf("%s %s lost metadata: %v %v", o.GetKind(), o.GetName(), o.GetLabels(), o.GetAnnotations())
			}
		}
		if t.theirs != nil && !t.theirs.isIn(t.made()[0]) {
			t.Errorf("what somebody wrote is gone: %s", asJSON(t.made()[0]))
		}
	},
	"a route that was deleted comes back with the weights that are set": func(t *trial) {
		t.ifMade()
		t.start(provider.Weights{Primary: 80, Canary: 20})
		t.deleteMade()
		t.set(provider.Weights{Primary: 70, Canary: 30})
		t.wants(provider.Weights{Primary: 70, Canary: 30})
		t.deleteMade()
		if _, err := t.Weights(t.Context(), t.canary); !apierrors.IsNotFound(err) {
			t.Errorf("weights of a missing route: want not found, got %v", err)
		}
		t.must(t.Reconcile(t.Context(), t.canary))
		t.wants(provider.Weights{Primary: 100})
	},
	"editing spec.service in mid-analysis moves nobody": func(t *trial) {
		t.start(provider.Weights{Primary: 70, Canary: 30})
		if t.edit == nil {
			t.Skip("nothing in spec.service is in the route")
		}
		before := t.versions()
		t.edit(&t.canary.Spec.Service)
		t.must(t.Supports(t.canary))
		t.must(t.Reconcile(t.Context(), t.canary))
		t.wants(provider.Weights{Primary: 70, Canary: 30})
		if cmp.Equal(before, t.versions()) {
			t.Error("the edit was ignored")
		}
	},
	"a write of somebody else in between is a conflict, and the next try succeeds": func(t *trial) {
		t.start(provider.Weights{Primary: 100})
		t.Router = t.routerOver(t.racing())
		err := t.SetWeights(t.Context(), t.canary, provider.Weights{Primary: 80, Canary: 20})
		if !apierrors.IsConflict(err) || errors.Is(err, reconcile.TerminalError(nil)) {
			t.Fatalf("want a conflict that can be retried, got %v", err)
		}
		t.set(provider.Weights{Primary: 80, Canary: 20})
		t.wants(provider.Weights{Primary: 80, Canary: 20})
	},
	"a route that is made belongs to the canary, and is given up twice without harm": func(t *trial) {
		t.ifMade()
		t.start(provider.Weights{Primary: 80, Canary: 20})
		for _, o := range t.made() {
			if !metav1.IsControlledBy(o, t.canary) && o.GetNamespace() != "" {
				t.Errorf("%s %s would stay for ever", o.GetKind(), o.GetName())
			}
		}
		t.must(t.Finalize(t.Context(), t.canary))
		t.must(t.Finalize(t.Context(), t.canary))
	},
	"a route that was there before stays, and leads to the apex Service": func(t *trial) {
		if t.existing != "" {
			t.create(t.existing)
		} else {
			t.set(provider.Weights{Primary: 80, Canary: 20})
			t.disown()
		}
		before := t.made()
		t.set(provider.Weights{Primary: 60, Canary: 40})
		t.wants(provider.Weights{Primary: 60, Canary: 40})
		t.must(t.Finalize(t.Context(), t.canary))
		left := t.made()
		if len(left) < len(before) {
			t.Fatalf("%d of %d objects are left", len(left), len(before))
		}
		if text := asJSON(left[0]); dangling.MatchString(text) {
			t.Errorf("leads to what will be gone: %s", text)
		}
		if t.existing != "" && !cmp.Equal(before[0].Object["spec"], left[0].Object["spec"]) {
			t.Errorf("is not what it was:\n%s", cmp.Diff(before[0].Object["spec"], left[0].Object["spec"]))
		}
		t.unchangedBy("finalizing again", func() error { return t.Finalize(t.Context(), t.canary) })
	},
	"the route of another canary is refused, not shared": func(t *trial) {
		t.ifMade()
		t.start(provider.Weights{Primary: 80, Canary: 20})
		other := t.canary.DeepCopy()
		other.Spec.Service.Name, _, _ = t.canary.ServiceNames()
		other.Name, other.UID = "other", "other-uid"
		if t.made()[0].GetNamespace() == "" {
			other.Namespace = "elsewhere" // the route is the whole cluster's
		}
		t.unchangedBy("another canary", func() error {
			for what, err := range map[string]error{
				"Reconcile":  t.Reconcile(t.Context(), other),
				"SetWeights": t.SetWeights(t.Context(), other, provider.Weights{Canary: 100}),
			} {
				if !errors.Is(err, reconcile.TerminalError(nil)) {
					t.Errorf("%s: want a terminal error, got %v", what, err)
				}
			}
			return t.Finalize(t.Context(), other)
		})
	},
	"a canary that was made anew succeeds its namesake": func(t *trial) {
		t.ifMade()
		if t.collected {
			t.Skip("the garbage collector may come first")
		}
		t.start(provider.Weights{Primary: 80, Canary: 20})
		t.canary.UID = "new-uid"
		t.must(t.Reconcile(t.Context(), t.canary))
		t.wants(provider.Weights{Primary: 80, Canary: 20})
		for _, o := range t.made() {
			if !metav1.IsControlledBy(o, t.canary) && o.GetNamespace() != "" {
				t.Errorf("%s %s still belongs to the old one: %v", o.GetKind(), o.GetName(), o.GetOwnerReferences())
			}
		}
	},
	"objects name everything that is made": func(t *trial) {
		t.start(provider.Weights{Primary: 80, Canary: 20})
		if len(t.made()) == 0 {
			t.Errorf("none of %v was written", t.Objects(t.canary))
		}
	},
}

// dangling is a Service that goes with its canary.
var dangling = regexp.MustCompile("app(-[0-9]+(-router-[a-z0-9]+)?)?-(primary|canary)([^a-z]|$)")

// asJSON is what an object says, without its name and owner.
func asJSON(o *unstructured.Unstructured) string {
	text, _ := json.Marshal(map[string]any{"spec": o.Object["spec"], "annotations": o.GetAnnotations()})
	return string(text)
}

func merged(m map[string]string, key, value string) map[string]string {
	out := map[string]string{key: value}
	for k, v := range m {
		if k != key {
			out[k] = v
		}
	}
	return out
}

func (t *trial) must(err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (t *trial) ifMade() {
	t.Helper()
	if t.borrowed {
		t.Skip("the route is the owner's")
	}
}

// create makes what the owner has.
func (t *trial) create(documents string) {
	t.Helper()
	for _, document := range strings.Split(documents, "---\n") {
		o := &unstructured.Unstructured{}
		names := strings.NewReplacer("NAMESPACE", t.canary.Namespace, "APP", t.canary.Name)
		t.must(yaml.Unmarshal([]byte(names.Replace(document)), &o.Object))
		if o.Object == nil {
			continue
		}
		t.must(t.cluster.Create(t.Context(), o))
	}
}

// start is what a controller does first.
func (t *trial) start(w provider.Weights) {
	t.Helper()
	t.must(t.Reconcile(t.Context(), t.canary))
	t.set(w)
}

func (t *trial) set(w provider.Weights) {
	t.Helper()
	t.must(t.SetWeights(t.Context(), t.canary, w))
}

func (t *trial) wants(w provider.Weights) {
	t.Helper()
	wantWeights(t.T, t.Router, t.canary, w)
}

// all are the objects that the router names and that exist.
func (t *trial) all() map[string]*unstructured.Unstructured {
	t.Helper()
	found := map[string]*unstructured.Unstructured{}
	for _, o := range t.Objects(t.canary) {
		live := &unstructured.Unstructured{}
		live.SetGroupVersionKind(o.GroupVersionKind)
		err := t.cluster.Get(t.Context(), o.NamespacedName, live)
		if client.IgnoreNotFound(err) != nil {
			t.Fatal(err)
		}
		if err == nil {
			found[o.Kind+"/"+o.Name] = live
		}
	}
	return found
}

// made are those that the router wrote, the one with the weights first.
func (t *trial) made() []*unstructured.Unstructured {
	t.Helper()
	var out []*unstructured.Unstructured
	all := t.all()
	for _, o := range t.Objects(t.canary) {
		key := o.Kind + "/" + o.Name
		if live := all[key]; live != nil && (t.borrowed || !t.given[key]) {
			out = append(out, live)
		}
	}
	return out
}

func (t *trial) versions() map[string]string {
	t.Helper()
	out := map[string]string{}
	for key, o := range t.all() {
		out[key] = o.GetResourceVersion()
	}
	return out
}

func (t *trial) unchangedBy(what string, do func() error) {
	t.Helper()
	before := t.all()
	t.must(do())
	after := t.all()
	for _, key := range slices.Sorted(maps.Keys(after)) {
		if before[key] == nil || before[key].GetResourceVersion() != after[key].GetResourceVersion() {
			t.Errorf("%s wrote %s (-before +after):\n%s", what, key, cmp.Diff(before[key], after[key]))
		}
	}
	if len(before) != len(after) {
		t.Errorf("%s left %d of %d objects", what, len(after), len(before))
	}
}

func (t *trial) deleteMade() {
	t.Helper()
	for _, o := range t.made() {
		t.must(t.cluster.Delete(t.Context(), o))
	}
}

// disown makes what the router wrote look like somebody else's.
func (t *trial) disown() {
	t.Helper()
	for _, o := range t.made() {
		o.SetOwnerReferences(nil)
		t.must(t.cluster.Update(t.Context(), o))
	}
}

// racing is a client whose first write is overtaken by another's.
func (t *trial) racing() client.WithWatch {
	overtaken := false
	return interceptor.NewClient(t.cluster, interceptor.Funcs{
		Patch: func(ctx context.Context, w client.WithWatch, o client.Object, patch client.Patch, opts ...client.PatchOption) error {
			if !overtaken {
				overtaken = true
				live := &unstructured.Unstructured{}
				live.SetGroupVersionKind(o.GetObjectKind().GroupVersionKind())
				t.must(w.Get(ctx, client.ObjectKeyFromObject(o), live))
				live.SetAnnotations(merged(live.GetAnnotations(), "edited", "in between"))
				t.must(w.Update(ctx, live))
			}
			return w.Patch(ctx, o, patch, opts...)
		},
	})
}

func (t *trial) routerOver(c client.Client) router.Router {
	t.Helper()
	r, err := router.New(t.name, router.Deps{Client: c, IngressClass: "edge"})
	t.must(err)
	return r
}

// TestWithoutTheCRDsTheErrorSaysWhatToInstall also holds for the last word: a
// canary must be deletable when its proxy was uninstalled.
func TestWithoutTheCRDsTheErrorSaysWhatToInstall(t *testing.T) {
	for name, s := range subjects {
		if s.product == "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			trial := newTrial(t, name, clusterWith(t))
			trial.Router = trial.routerOver(interceptor.NewClient(trial.cluster, interceptor.Funcs{
				Get: func(ctx context.Context, w client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
					if kind := o.GetObjectKind().GroupVersionKind(); strings.Contains(kind.Group, ".") && kind.Group != "networking.k8s.io" {
						return &meta.NoKindMatchError{GroupKind: kind.GroupKind()}
					}
					return w.Get(ctx, key, o, opts...)
				},
			}))
			trial.saysWhatToInstall()
		})
	}
}

func (t *trial) saysWhatToInstall() {
	t.Helper()
	for what, err := range map[string]error{
		"Reconcile":  t.Reconcile(t.Context(), t.canary),
		"SetWeights": t.SetWeights(t.Context(), t.canary, provider.Weights{Primary: 100}),
	} {
		if !errors.Is(err, router.ErrNotInstalled) || !strings.Contains(err.Error(), "install the CRDs of "+t.product) {
			t.Errorf("%s: want ErrNotInstalled about %s, got %v", what, t.product, err)
		}
		if errors.Is(err, reconcile.TerminalError(nil)) {
			t.Errorf("%s: CRDs may come any time: %v", what, err)
		}
	}
	if err := t.Finalize(t.Context(), t.canary); err != nil {
		t.Errorf("Finalize: %v", err)
	}
}
