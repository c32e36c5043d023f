// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"context"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllertest"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// secrets is the kind that AlertProviders refer to.
var secrets = schema.GroupVersionKind{Version: "v1", Kind: "Secret"}

// alertEnv is a canary with an alert, whose AlertProvider and Secret are read from an API server that a test lets fail.
type alertEnv struct {
	*testEnv
	c      *flaggerv1.Canary
	secret *corev1.Secret
	reads  int
	fails  error
}

func newAlertEnv(t *testing.T) *alertEnv {
	t.Helper()
	e := &alertEnv{testEnv: newRelease(t, newPrometheus(t, "100"), func(c *flaggerv1.Canary) {
		c.Spec.Analysis.Alerts = []flaggerv1.CanaryAlert{{Name: "all", ProviderRef: flaggerv1.CrossNamespaceObjectReference{Name: "team"}}}
	})}
	slack := &flaggerv1.AlertProvider{ObjectMeta: metav1.ObjectMeta{Namespace: "test", Name: "team"}}
	slack.Spec = flaggerv1.AlertProviderSpec{Type: "slack", SecretRef: &flaggerv1.SecretReference{Name: "room"}}
	e.secret = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "test", Name: "room"}}
	for _, object := range []client.Object{slack, e.secret} {
		if err := e.api.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	get := func(ctx context.Context, api client.WithWatch, key client.ObjectKey, into client.Object, opts ...client.GetOption) error {
		switch into.(type) {
		case *flaggerv1.AlertProvider, *corev1.Secret:
			e.reads++
			if e.fails != nil {
				return e.fails
			}
		}
		return api.Get(ctx, key, into, opts...)
	}
	e.restart(interceptor.NewClient(e.api, interceptor.Funcs{Get: get}))
	e.c = &flaggerv1.Canary{}
	e.get("podinfo", e.c)
	return e
}

// says reconciles some times, and reports whether Ready says each time that the alert has no address.
func (e *alertEnv) says(times int, want bool) {
	e.Helper()
	for range times {
		result, err := e.r.Reconcile(e.Context(), e.c)
		if got := strings.Contains(result.Message, "Secret test/room has no key address"); err != nil || got != want {
			e.Errorf("Ready says %q, %v", result.Message, err)
		}
	}
}

// address edits the Secret.
func (e *alertEnv) address(value string) {
	e.Helper()
	e.secret.Data = map[string][]byte{"address": []byte(value)}
	if err := e.api.Update(e.Context(), e.secret); err != nil {
		e.Fatal(err)
	}
}

// Two objects were read from the API server for each alert at each tick, and each event of a watch.
func TestAlertsAreLookedUpOnlyWhenSomethingChanged(t *testing.T) {
	e := newAlertEnv(t)
	e.says(2, true) // the watches begin with the first
	if e.reads != 4 {
		t.Errorf("%d reads until watches tell", e.reads)
	}
	e.reads = 0
	e.says(3, true)
	if e.reads != 0 {
		t.Errorf("%d reads although nothing changed", e.reads)
	}
	e.address("https://chat.example.com/room")
	e.says(3, false)
	if e.reads != 2 {
		t.Errorf("%d reads after the Secret changed", e.reads)
	}
	e.address("")
	e.says(1, true)
	e.c.Spec.Analysis.Alerts[0].ProviderRef.Name = "another"
	e.says(1, false)
	e.c.Spec.Analysis.Alerts[0].ProviderRef.Name = "team"
	e.says(1, true)
	e.r.forget(client.ObjectKeyFromObject(e.c), e.c.UID)
	if kept := e.r.observer.alerts.last; len(kept) > 0 {
		t.Errorf("kept of one that is gone: %v", kept)
	}
}

// One read that failed took the remark out of Ready, and nobody was woken by the Secret any more.
func TestAnAPIServerThatDoesNotAnswerTakesNoRemarkAboutAlertsBack(t *testing.T) {
	e := newAlertEnv(t)
	e.says(2, true)
	e.address("https://chat.example.com/room")
	e.fails = apierrors.NewServiceUnavailable("it starts")
	e.says(2, true)
	at := clusterRef{clusterKind{secrets, workloadCluster}, client.ObjectKeyFromObject(e.secret)}
	if woken := e.r.observer.watcher.index.dependentsOf(at); !slices.Contains(woken, client.ObjectKeyFromObject(e.c)) {
		t.Errorf("the Secret wakes %v", woken)
	}
	e.fails = nil
	e.says(2, false)
}

// What may not be watched, or not be read, may be allowed later, and nothing tells.
func TestAlertsOfWhichNothingTellsAreLookedUpAgain(t *testing.T) {
	for name, happens := range map[string]func(*alertEnv){
		"Secrets may not be watched": func(e *alertEnv) { e.cache.informers[secrets] = controllertest.NewFakeInformer() },
		"Secrets may not be read": func(e *alertEnv) {
			e.fails = apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "room", nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := newAlertEnv(t)
			happens(e)
			e.says(3, e.fails == nil)
			e.fails = nil
			e.says(1, true)
			e.address("https://chat.example.com/room")
			e.says(1, false)
		})
	}
}
