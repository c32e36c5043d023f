// SPDX-License-Identifier: Apache-2.0

package alert

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/api/notification/v1beta3"
	"github.com/sluice-cd/sluice/internal/kinds"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

func alert(edit func(*v1beta3.Alert)) *v1beta3.Alert {
	a := &v1beta3.Alert{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "releases", Generation: 3},
		Spec: v1beta3.AlertSpec{
			ProviderRef:  meta.LocalObjectReference{Name: "room"},
			EventSources: []v1beta3.EventSource{{Kind: "Canary", Name: "*"}},
		},
	}
	edit(a)
	return a
}

func provider(namespace, name string) *v1beta3.Provider {
	return &v1beta3.Provider{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
}

func TestWhatIsSaidOfAnAlert(t *testing.T) {
	elsewhere := func(a *v1beta3.Alert) {
		a.Spec.EventSources = append(a.Spec.EventSources, a.Spec.EventSources[0], a.Spec.EventSources[0])
		a.Spec.EventSources[1].Namespace, a.Spec.EventSources[2].Namespace = "shop", "lab"
	}
	const limited = "Initialized; events of spec.eventSources[2] are not told: cross-namespace references have been blocked"
	for name, tc := range map[string]struct {
		edit          func(*v1beta3.Alert)
		limits        bool
		want          string
		reason        string
		stalled       bool
		after         time.Duration
		notReconciled bool
	}{
		"it selects events for a Provider that is there": {want: "Initialized", reason: meta.SucceededReason},
		"an expression that does not compile": {
			edit: func(a *v1beta3.Alert) { a.Spec.InclusionList = []string{"("} },
			want: "spec.inclusionList[0]", reason: v1beta3.ValidationFailedReason, stalled: true,
		},
		"a Provider that is not there is looked for again": {
			edit: func(a *v1beta3.Alert) { a.Spec.ProviderRef.Name = "rom" },
			want: "spec.providerRef: Provider 'shop/rom' is not there", reason: v1beta3.ProviderNotFoundReason, after: time.Minute,
		},
		"a Provider of another namespace is none": {
			edit: func(a *v1beta3.Alert) { a.Spec.ProviderRef.Name = "of-the-lab" },
			want: "Provider 'shop/of-the-lab' is not there", reason: v1beta3.ProviderNotFoundReason, after: time.Minute,
		},
		"sources of other namespaces":                           {edit: elsewhere, want: "Initialized", reason: meta.SucceededReason},
		"sources of other namespaces, where these are not told": {edit: elsewhere, limits: true, want: limited, reason: meta.SucceededReason},
		"one that is suspended":                                 {edit: func(a *v1beta3.Alert) { a.Spec.Suspend = true }, notReconciled: true},
	} {
		t.Run(name, func(t *testing.T) {
			scheme, err := kinds.Scheme()
			if err != nil {
				t.Fatal(err)
			}
			a := alert(func(a *v1beta3.Alert) {
				a.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "now"}
				if tc.edit != nil {
					tc.edit(a)
				}
			})
			c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(a, provider("shop", "room"), provider("lab", "of-the-lab")).
				WithStatusSubresource(a).Build()
			run := reconciler.New(c, c, kind, &Reconciler{Client: c, NoCrossNamespaceRefs: tc.limits},
				reconciler.Options{Clock: testclock.NewFakePassiveClock(time.Now()), Recorder: noEvents{t}})
			result, _ := run.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(a)})
			if err := c.Get(t.Context(), client.ObjectKeyFromObject(a), a); err != nil {
				t.Fatal(err)
			}
			ready := apimeta.FindStatusCondition(a.Status.Conditions, meta.ReadyCondition)
			if tc.notReconciled {
				if ready != nil {
					t.Errorf("Ready is %+v", ready)
				}
				return
			}
			if ready == nil || ready.Reason != tc.reason || !strings.Contains(ready.Message, tc.want) ||
				(ready.Status == metav1.ConditionTrue) != (tc.reason == meta.SucceededReason) {
				t.Fatalf("Ready is %+v, want %s: %q", ready, tc.reason, tc.want)
			}
			if ready.Status == metav1.ConditionTrue && ready.Message != tc.want {
				t.Errorf("it says %q, want %q", ready.Message, tc.want)
			}
			if stalled := apimeta.IsStatusConditionTrue(a.Status.Conditions, meta.StalledCondition); stalled != tc.stalled {
				t.Errorf("Stalled is %v", stalled)
			}
			if result.RequeueAfter != tc.after {
				t.Errorf("it is looked at again after %s, want %s", result.RequeueAfter, tc.after)
			}
			if a.Status.ObservedGeneration != 3 || a.Status.LastHandledReconcileAt != "now" {
				t.Errorf("the status is %+v", a.Status)
			}
		})
	}
}

// noEvents fails if anybody is told that an Alert became ready: it would be told by that Alert.
type noEvents struct{ t *testing.T }

func (n noEvents) Event(_ client.Object, e reconciler.Event) {
	if e.Reason == meta.SucceededReason {
		n.t.Errorf("told %+v", e)
	}
}

func TestAProviderWakesItsAlerts(t *testing.T) {
	scheme, err := kinds.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	named := func(namespace, name, provider string) client.Object {
		return alert(func(a *v1beta3.Alert) { a.Namespace, a.Name, a.Spec.ProviderRef.Name = namespace, name, provider })
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithIndex(&v1beta3.Alert{}, byProvider, providerOf).WithObjects(
		named("shop", "releases", "room"), named("shop", "failures", "room"), named("shop", "pages", "pager"), named("lab", "releases", "room"),
	).Build()
	var woken []string
	for _, request := range (&Reconciler{Client: c}).alertsOf(t.Context(), provider("shop", "room")) {
		woken = append(woken, request.String())
	}
	slices.Sort(woken)
	if want := []string{"shop/failures", "shop/releases"}; !slices.Equal(woken, want) {
		t.Errorf("woke %q, want %q", woken, want)
	}
}

func TestAnErrorOfTheAPIServerIsNoMissingProvider(t *testing.T) {
	scheme, err := kinds.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	away := apierrors.NewServiceUnavailable("away")
	c := fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(interceptor.Funcs{
		Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return away
		},
	}).Build()
	r := &Reconciler{Client: c}
	_, err = r.Reconcile(t.Context(), alert(func(*v1beta3.Alert) {}))
	if !errors.Is(err, away) || r.Reason(err) != meta.FailedReason {
		t.Errorf("it fails with %v, because of %s", err, r.Reason(err))
	}
}
