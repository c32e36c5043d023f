// SPDX-License-Identifier: Apache-2.0

// Package contract is what every router of a canary keeps, as a test: on a fake API
// server beside the routers, and on a real one in test/integration/router.
//
//	contract.Run(t, "traefik", func(t *testing.T) *contract.Fixture {
//		return contract.New(t, "traefik", contract.Cluster(t))
//	})
//
// It reads in the table of package provider what a router can do, so that a new one is
// held to the contract without being mentioned here, unless its owner has to make
// something first: that is an [Example].
package contract

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
)

// Run holds a router to the contract, each time with a fixture of its own.
func Run(t *testing.T, name string, fixture func(*testing.T) *Fixture) {
	if row, _ := provider.Named(name); row.Routing == provider.Nowhere {
		movesNobody(fixture(t))
		return
	}
	for _, clause := range slices.Sorted(maps.Keys(clauses)) {
		t.Run(clause, func(t *testing.T) { clauses[clause](fixture(t)) })
	}
}

// movesNobody is the contract of a provider without routes.
func movesNobody(t *Fixture) {
	for _, w := range []provider.Weights{{Primary: 80, Canary: 20}, {Canary: 100}, provider.ToPrimary} {
		t.Set(w)
		t.Must(t.Reconcile(t.Context(), t.Canary))
		t.Wants(provider.ToPrimary)
	}
	t.Must(t.Finalize(t.Context(), t.Canary))
	if objects := t.Objects(t.Canary); len(objects) > 0 {
		t.Errorf("has no routes, but names %v", objects)
	}
}

// clauses are what every router keeps that moves users.
var clauses = map[string]func(*Fixture){
	"what was never routed is finalized without a word": func(t *Fixture) {
		t.Must(t.Finalize(t.Context(), t.Canary))
	},
	"a route that is made sends everybody to the primary": func(t *Fixture) {
		t.Must(t.Reconcile(t.Context(), t.Canary))
		t.Wants(provider.Weights{Primary: 100})
		t.UnchangedBy("reconciling again", func() error { return t.Reconcile(t.Context(), t.Canary) })
	},
	"weights are read back as they were set, and set only once": func(t *Fixture) {
		t.Must(t.Reconcile(t.Context(), t.Canary))
		for _, w := range []provider.Weights{{Primary: 80, Canary: 20}, {Canary: 100}, {Primary: 99, Canary: 1}, {Primary: 100}} {
			t.Set(w)
			t.Wants(w)
			t.UnchangedBy("setting again", func() error { return t.SetWeights(t.Context(), t.Canary, w) })
			t.UnchangedBy("reconciling", func() error { return t.Reconcile(t.Context(), t.Canary) })
			t.Wants(w)
		}
	},
	"mirroring is read back, and ends": func(t *Fixture) {
		if !t.Provider.Honours(provider.AnalysisMirror) {
			t.Skip("cannot mirror")
		}
		t.Canary.Spec.Analysis.Mirror = true
		t.Must(t.Reconcile(t.Context(), t.Canary))
		for _, w := range []provider.Weights{{Primary: 100, Mirror: true}, {Primary: 90, Canary: 10}, {Primary: 100}} {
			t.Set(w)
			t.Wants(w)
			t.UnchangedBy("reconciling", func() error { return t.Reconcile(t.Context(), t.Canary) })
		}
	},
	"an A/B test is for those whom it chooses": func(t *Fixture) {
		if !t.Provider.Honours(provider.AnalysisMatch) {
			t.Skip("cannot choose users")
		}
		t.Canary.Spec.Analysis.Match = Insider
		t.Must(t.Supports(t.Canary))
		t.Must(t.Reconcile(t.Context(), t.Canary))
		for _, w := range []provider.Weights{{Primary: 100}, {Canary: 100}, {Primary: 100}, {Canary: 100}} {
			t.Set(w)
			t.Wants(w)
			t.UnchangedBy("reconciling", func() error { return t.Reconcile(t.Context(), t.Canary) })
		}
	},
	"what an A/B test's users get says nothing about the others": func(t *Fixture) {
		if !t.Provider.Honours(provider.AnalysisMatch) {
			t.Skip("cannot choose users")
		}
		t.Canary.Spec.Analysis.Match = Insider
		t.Set(provider.Weights{Canary: 100})
		t.Canary.Spec.Analysis.Match = nil
		t.Must(t.Reconcile(t.Context(), t.Canary))
		t.Wants(provider.Weights{Primary: 100})
	},
	"an A/B test is opened for everybody, and closed again": func(t *Fixture) {
		if !t.Provider.Honours(provider.AnalysisMatch) {
			t.Skip("cannot choose users")
		}
		open := t.Canary.DeepCopy()
		t.Canary.Spec.Analysis.Match = Insider
		all := func() provider.Weights {
			w, err := t.Weights(t.Context(), open)
			t.Must(err)
			return w
		}
		t.Must(t.Reconcile(t.Context(), t.Canary))
		t.Set(provider.Weights{Canary: 100})
		t.Must(t.SetWeights(t.Context(), open, provider.Weights{Canary: 100}))
		t.UnchangedBy("reconciling", func() error { return t.Reconcile(t.Context(), open) })
		if w := all(); w.Canary != 100 {
			t.Errorf("everybody has %v", w)
		}
		t.Wants(provider.Weights{Canary: 100}) // for those whom it chose, too
		t.Set(provider.Weights{Canary: 100})
		if w := all(); w.Canary != 0 {
			t.Errorf("those who are not chosen have %v", w)
		}
		t.Wants(provider.Weights{Canary: 100})
	},
	"what somebody else wrote survives": func(t *Fixture) {
		t.Start(provider.Weights{Primary: 100})
		for _, o := range t.Made() {
			o.SetLabels(Merged(o.GetLabels(), "team", "web"))
			o.SetAnnotations(Merged(o.GetAnnotations(), "example.com/note", "mine"))
			t.Must(t.Cluster.Update(t.Context(), o))
		}
		if t.Example.Theirs != nil {
			o := t.Made()[0]
			t.Example.Theirs.write(o)
			t.Must(t.Cluster.Update(t.Context(), o))
		}
		t.Set(provider.Weights{Primary: 80, Canary: 20})
		t.Must(t.Reconcile(t.Context(), t.Canary))
		for _, o := range t.Made() {
			if o.GetLabels()["team"] != "web" || o.GetAnnotations()["example.com/note"] != "mine" {
				t.Errorf("%s %s lost metadata: %v %v", o.GetKind(), o.GetName(), o.GetLabels(), o.GetAnnotations())
			}
		}
		if t.Example.Theirs != nil && !t.Example.Theirs.isIn(t.Made()[0]) {
			t.Errorf("what somebody wrote is gone: %s", AsJSON(t.Made()[0]))
		}
	},
	"a route that was deleted comes back with the weights that are set": func(t *Fixture) {
		t.ifMade()
		t.Start(provider.Weights{Primary: 80, Canary: 20})
		t.DeleteMade()
		t.Set(provider.Weights{Primary: 70, Canary: 30})
		t.Wants(provider.Weights{Primary: 70, Canary: 30})
		t.DeleteMade()
		if _, err := t.Weights(t.Context(), t.Canary); !apierrors.IsNotFound(err) {
			t.Errorf("weights of a missing route: want not found, got %v", err)
		}
		t.Must(t.Reconcile(t.Context(), t.Canary))
		t.Wants(provider.Weights{Primary: 100})
	},
	"editing spec.service in mid-analysis moves nobody": func(t *Fixture) {
		t.Start(provider.Weights{Primary: 70, Canary: 30})
		if t.Example.Edit == nil {
			t.Skip("nothing in spec.service is in the route")
		}
		before := t.versions()
		t.Example.Edit(&t.Canary.Spec.Service)
		t.Must(t.Supports(t.Canary))
		t.Must(t.Reconcile(t.Context(), t.Canary))
		t.Wants(provider.Weights{Primary: 70, Canary: 30})
		if cmp.Equal(before, t.versions()) {
			t.Error("the edit was ignored")
		}
	},
	"a write of somebody else in between is a conflict, and the next try succeeds": func(t *Fixture) {
		t.Start(provider.Weights{Primary: 100})
		t.Router = t.RouterOver(t.racing())
		err := t.SetWeights(t.Context(), t.Canary, provider.Weights{Primary: 80, Canary: 20})
		if !apierrors.IsConflict(err) || errors.Is(err, reconcile.TerminalError(nil)) {
			t.Fatalf("want a conflict that can be retried, got %v", err)
		}
		t.Set(provider.Weights{Primary: 80, Canary: 20})
		t.Wants(provider.Weights{Primary: 80, Canary: 20})
	},
	"a route that is made belongs to the canary, and is given up twice without harm": func(t *Fixture) {
		t.ifMade()
		t.Start(provider.Weights{Primary: 80, Canary: 20})
		for _, o := range t.Made() {
			if !metav1.IsControlledBy(o, t.Canary) && o.GetNamespace() != "" {
				t.Errorf("%s %s would stay for ever", o.GetKind(), o.GetName())
			}
		}
		t.Must(t.Finalize(t.Context(), t.Canary))
		t.Must(t.Finalize(t.Context(), t.Canary))
	},
	"a route that was there before stays, and leads to the apex Service": func(t *Fixture) {
		if t.Example.Existing != "" {
			t.Create(t.Example.Existing)
		} else {
			t.Set(provider.Weights{Primary: 80, Canary: 20})
			t.disown()
		}
		before := t.Made()
		t.Set(provider.Weights{Primary: 60, Canary: 40})
		t.Wants(provider.Weights{Primary: 60, Canary: 40})
		t.Must(t.Finalize(t.Context(), t.Canary))
		left := t.Made()
		if len(left) < len(before) {
			t.Fatalf("%d of %d objects are left", len(left), len(before))
		}
		if text := AsJSON(left[0]); dangling.MatchString(text) {
			t.Errorf("leads to what will be gone: %s", text)
		}
		if t.Example.Existing != "" && !cmp.Equal(before[0].Object["spec"], left[0].Object["spec"]) {
			t.Errorf("is not what it was:\n%s", cmp.Diff(before[0].Object["spec"], left[0].Object["spec"]))
		}
		t.UnchangedBy("finalizing again", func() error { return t.Finalize(t.Context(), t.Canary) })
	},
	"the route of another canary is refused, not shared": func(t *Fixture) {
		t.ifMade()
		t.Start(provider.Weights{Primary: 80, Canary: 20})
		other := t.Canary.DeepCopy()
		other.Spec.Service.Name, _, _ = t.Canary.ServiceNames()
		other.Name, other.UID = "other", "other-uid"
		if t.Made()[0].GetNamespace() == "" {
			other.Namespace = "elsewhere" // the route is the whole cluster's
		}
		t.UnchangedBy("another canary", func() error {
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
	"a canary that was made anew succeeds its namesake": func(t *Fixture) {
		t.ifMade()
		if t.Collected {
			t.Skip("the garbage collector may come first")
		}
		t.Start(provider.Weights{Primary: 80, Canary: 20})
		t.Canary.UID = "new-uid"
		t.Must(t.Reconcile(t.Context(), t.Canary))
		t.Wants(provider.Weights{Primary: 80, Canary: 20})
		for _, o := range t.Made() {
			if !metav1.IsControlledBy(o, t.Canary) && o.GetNamespace() != "" {
				t.Errorf("%s %s still belongs to the old one: %v", o.GetKind(), o.GetName(), o.GetOwnerReferences())
			}
		}
	},
	"users are taken off the canary whatever became of the spec": func(t *Fixture) {
		t.takesUsersOff()
	},
	"those whom an A/B test chose are taken off the canary whatever became of the spec": func(t *Fixture) {
		if !t.Provider.Honours(provider.AnalysisMatch) {
			t.Skip("cannot choose users")
		}
		t.Canary.Spec.Analysis.Match = Insider
		t.takesUsersOff()
	},
	"those whom a cookie binds are taken off the canary whatever became of the spec": func(t *Fixture) {
		if !t.Provider.Honours(provider.SessionAffinity) {
			t.Skip("has no cookies")
		}
		t.Canary.Spec.Analysis.SessionAffinity = &flaggerv1.SessionAffinity{CookieName: "canary"}
		t.Canary.Status.SessionAffinityCookie = "canary=one"
		t.takesUsersOff()
	},
	"objects name everything that is made": func(t *Fixture) {
		t.Start(provider.Weights{Primary: 80, Canary: 20})
		if len(t.Made()) == 0 {
			t.Errorf("none of %v was written", t.Objects(t.Canary))
		}
		for _, o := range t.Objects(t.Canary) {
			if !slices.Contains(t.Provider.Kinds, o.GroupKind()) {
				t.Errorf("%s %s is of a kind that the row of the provider has not: nobody may write it", o.GroupKind(), o.Name)
			}
		}
	},
}
