// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/internal/cel"
	"github.com/sluice-cd/sluice/test/make"
)

func secret(data map[string]string) *corev1.Secret {
	return make.Secret("apps", "token", data)
}

func newReceiver(edit func(*notificationv1.ReceiverSpec)) *notificationv1.Receiver {
	obj := &notificationv1.Receiver{
		ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "hook"},
		Spec: notificationv1.ReceiverSpec{
			Type: notificationv1.GenericReceiver, SecretRef: &meta.LocalObjectReference{Name: "token"},
			Interval: &metav1.Duration{Duration: time.Hour},
			Resources: []notificationv1.ReceiverResource{{CrossNamespaceObjectReference: notificationv1.CrossNamespaceObjectReference{
				Kind: "ImageRepository", Name: "app",
			}}},
		},
		Status: notificationv1.ReceiverStatus{WebhookPath: "/hook/before"},
	}
	if edit != nil {
		edit(&obj.Spec)
	}
	return obj
}

func TestReconcile(t *testing.T) {
	for name, tc := range map[string]struct {
		edit         func(*notificationv1.ReceiverSpec)
		secret       *corev1.Secret
		wantPath     string
		wantMessage  string
		wantReason   string
		wantTerminal bool
	}{
		"a token makes the path": {
			secret: secret(map[string]string{"token": "t"}),
			// printf 'thookapps' | sha256sum
			wantPath:    "/hook/407064cdb5b4ca8707e2e3aa679e7f90fb29e144ec4430b17b0732d822e44c07",
			wantMessage: "Receiver initialized for path: /hook/",
		},
		"a Secret that is not there is waited for": {
			secret:     make.Secret[string]("other", "token", nil),
			wantReason: notificationv1.TokenNotFoundReason, wantMessage: "unable to read token from secret 'apps/token'",
		},
		"and one without a token": {
			secret:     secret(map[string]string{"password": "t"}),
			wantReason: notificationv1.TokenNotFoundReason, wantMessage: "required field 'token'",
		},
		"a receiver that trusts an issuer has no token": {
			edit: func(spec *notificationv1.ReceiverSpec) {
				spec.Type, spec.SecretRef = notificationv1.GenericOIDCReceiver, nil
				spec.OIDCProviders = []notificationv1.OIDCProvider{{
					IssuerURL: "https://issuer.example.com", Validations: []notificationv1.OIDCValidation{{
						Expression: "claims.sub == 'ci'",
						Message:    "only CI may",
					}},
				}}
			},
			secret: secret(nil), wantPath: "/hook/", wantMessage: "Receiver initialized for path: /hook/",
		},
		"an unknown type stalls": {
			edit:   func(spec *notificationv1.ReceiverSpec) { spec.Type = "pigeon" },
			secret: secret(nil), wantReason: notificationv1.ValidationFailedReason, wantMessage: "spec.type", wantTerminal: true,
		},
		"an expression that is none stalls": {
			edit:   func(spec *notificationv1.ReceiverSpec) { spec.ResourceFilter = "res.metadata.name ==" },
			secret: secret(nil), wantReason: meta.InvalidCELExpressionReason, wantMessage: "spec.resourceFilter", wantTerminal: true,
		},
		"one that asks for claims where there are none stalls": {
			edit:   func(spec *notificationv1.ReceiverSpec) { spec.Resources[0].Filter = "claims.sub == 'ci'" },
			secret: secret(nil), wantReason: meta.InvalidCELExpressionReason, wantMessage: "spec.resources[0].filter", wantTerminal: true,
		},
		"events of a type without events are told": {
			edit:   func(spec *notificationv1.ReceiverSpec) { spec.Events = []string{"push"} },
			secret: secret(map[string]string{"token": "t"}), wantPath: "/hook/", wantMessage: "spec.events has no effect",
		},
		"and resources that the flags forbid": {
			edit:   func(spec *notificationv1.ReceiverSpec) { spec.Resources[0].Namespace = "other" },
			secret: secret(map[string]string{"token": "t"}), wantPath: "/hook/", wantMessage: "spec.resources[0] is not notified",
		},
	} {
		t.Run(name, func(t *testing.T) {
			secrets := fake.NewClientBuilder().WithObjects(tc.secret).Build()
			r := &Reconciler{Secrets: secrets, Resources: cluster(t, "app"), NoCrossNamespaceRefs: true}
			obj := newReceiver(tc.edit)
			result, err := r.Reconcile(t.Context(), obj)
			if got := obj.Status.WebhookPath; !strings.HasPrefix(got, tc.wantPath) || tc.wantPath == "" && got != "" {
				t.Errorf("the path is %q, want %q", got, tc.wantPath)
			}
			if tc.wantReason == "" {
				if err != nil || !strings.Contains(result.Message, tc.wantMessage) || result.After != time.Hour {
					t.Errorf("got %+v, %v", result, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.wantMessage) {
				t.Fatalf("got %v, want %q", err, tc.wantMessage)
			}
			if got := r.Reason(err); got != tc.wantReason {
				t.Errorf("the reason is %s, want %s", got, tc.wantReason)
			}
			if got := errors.Is(err, reconcile.TerminalError(nil)); got != tc.wantTerminal {
				t.Errorf("terminal is %t, want %t", got, tc.wantTerminal)
			}
		})
	}
}

func TestAnExpressionThatTookTooMuchStallsTheReceiverUntilItChanges(t *testing.T) {
	r := &Reconciler{
		Secrets:   fake.NewClientBuilder().WithObjects(secret(map[string]string{"token": "t"})).Build(),
		Resources: cluster(t, "app"),
	}
	found := newReceiver(nil)
	found.Generation = 1
	stalled := func(edit func(*notificationv1.Receiver)) bool {
		r.TooExpensive(found, fmt.Errorf("spec.resourceFilter: %w", cel.ErrTooExpensive))
		obj := found.DeepCopy()
		edit(obj)
		_, err := r.Reconcile(t.Context(), obj)
		if err != nil && r.Reason(err) != meta.InvalidCELExpressionReason {
			t.Errorf("got %v", err)
		}
		return errors.Is(err, reconcile.TerminalError(nil))
	}
	for name, tc := range map[string]struct {
		edit func(*notificationv1.Receiver)
		want bool
	}{
		"nothing changed": {func(*notificationv1.Receiver) {}, true},
		"it was edited":   {func(obj *notificationv1.Receiver) { obj.Generation = 2 }, false},
		"somebody asks for a run": {func(obj *notificationv1.Receiver) {
			obj.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "now"}
		}, false},
		"it is another by now": {func(obj *notificationv1.Receiver) { obj.UID = "other" }, false},
	} {
		if got := stalled(tc.edit); got != tc.want {
			t.Errorf("%s: stalled is %t", name, got)
		}
	}
	r.forget(client.ObjectKeyFromObject(found))
	if n := len(r.expensive.found) + len(r.checks.byReceiver); n != 0 {
		t.Errorf("%d errors are kept of a receiver that is gone", n)
	}
}

func TestASpecIsCheckedOnceForEachGeneration(t *testing.T) {
	r := &Reconciler{
		Secrets:   fake.NewClientBuilder().WithObjects(secret(map[string]string{"token": "t"})).Build(),
		Resources: cluster(t, "app"),
	}
	obj := newReceiver(func(spec *notificationv1.ReceiverSpec) { spec.ResourceFilter = "req.draft &&" })
	obj.Generation = 1
	if _, err := r.Reconcile(t.Context(), obj.DeepCopy()); !errors.Is(err, reconcile.TerminalError(nil)) {
		t.Errorf("got %v", err)
	}
	obj.Spec.ResourceFilter = "req.draft"
	if err := r.checks.check(obj); err == nil {
		t.Error("the same generation is checked again")
	}
	obj.Generation = 2
	if _, err := r.Reconcile(t.Context(), obj.DeepCopy()); err != nil {
		t.Errorf("the next generation: %v", err)
	}
	obj.UID, obj.Spec.ResourceFilter = "another", "req.draft &&"
	if err := r.checks.check(obj); err == nil {
		t.Error("another object of the same name is taken for the one before")
	}
}
