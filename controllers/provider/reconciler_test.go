// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/go-logr/logr"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/api/notification/v1beta3"
	"github.com/sluice-cd/sluice/internal/kinds"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/notify/dispatch"
	"github.com/sluice-cd/sluice/notify/outbox"
	"github.com/sluice-cd/sluice/test/make"
)

// silent fails if anybody is told that a Provider became ready.
type silent struct{ t *testing.T }

func (s silent) Event(_ client.Object, e reconciler.Event) {
	if e.Reason == meta.SucceededReason {
		s.t.Errorf("told %+v", e)
	}
}

func TestWhatIsSaidOfAProvider(t *testing.T) {
	for name, tc := range map[string]struct {
		edit func(*v1beta3.Provider)
		want string // "" is that it can be used, "-" that nobody looks
	}{
		"one that messages can be sent to": {edit: func(*v1beta3.Provider) {}},
		// Flux takes it, and Providers from its time were refused.
		"a repository in the form of scp": {edit: func(p *v1beta3.Provider) {
			p.Spec.Type, p.Spec.Address = "gitlab", "git@gitlab.com:group/app.git"
			p.Spec.SecretRef = &meta.LocalObjectReference{Name: "token"}
		}},
		"a type that is none":   {func(p *v1beta3.Provider) { p.Spec.Type = "pigeon" }, `spec.type: "pigeon" is not served`},
		"one that is suspended": {func(p *v1beta3.Provider) { p.Spec.Suspend, p.Spec.Type = true, "pigeon" }, "-"},
	} {
		t.Run(name, func(t *testing.T) {
			scheme, err := kinds.Scheme()
			if err != nil {
				t.Fatal(err)
			}
			p := &v1beta3.Provider{
				ObjectMeta: metav1.ObjectMeta{
					Namespace: "shop", Name: "room", Generation: 3, Annotations: map[string]string{meta.ReconcileRequestAnnotation: "now"},
				},
				Spec: v1beta3.ProviderSpec{Type: "generic", Address: "https://room.example.com/hook"},
			}
			tc.edit(p)
			secret := make.Secret("shop", "token", map[string]string{"token": "t"})
			c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(p, secret).WithStatusSubresource(p).Build()
			box, err := outbox.Open(t.TempDir(), clock.RealClock{}, logr.Discard())
			if err != nil {
				t.Fatal(err)
			}
			dispatcher := dispatch.New(dispatch.Options{
				Client: c, Live: c, Outbox: box, Clock: clock.RealClock{}, Log: logr.Discard(), Forges: forges(),
			})
			run := reconciler.New(c, c, kind, &Reconciler{Dispatcher: dispatcher}, reconciler.Options{Clock: clock.RealClock{}, Recorder: silent{t}})
			_, failed := run.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(p)})
			if err := c.Get(t.Context(), client.ObjectKeyFromObject(p), p); err != nil {
				t.Fatal(err)
			}
			ready := apimeta.FindStatusCondition(p.Status.Conditions, meta.ReadyCondition)
			switch tc.want {
			case "-":
				if ready != nil || failed != nil {
					t.Errorf("Ready is %+v: %v", ready, failed)
				}
				return
			case "":
				if failed != nil || ready == nil || ready.Status != metav1.ConditionTrue || ready.Message != "Initialized" {
					t.Errorf("Ready is %+v: %v", ready, failed)
				}
			default:
				if ready == nil || ready.Status != metav1.ConditionFalse || !strings.Contains(ready.Message, tc.want) {
					t.Errorf("Ready is %+v, want %q", ready, tc.want)
				}
				if !apimeta.IsStatusConditionTrue(p.Status.Conditions, meta.StalledCondition) {
					t.Error("it is not Stalled, although only another spec helps")
				}
			}
			if p.Status.ObservedGeneration != 3 || p.Status.LastHandledReconcileAt != "now" {
				t.Errorf("the status is %+v", p.Status)
			}
		})
	}
}
