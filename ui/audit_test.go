// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/test/make"
)

// The event of a rollback did not say to which version.
func TestAnEventOfACommandSaysWhichVersionItIsAbout(t *testing.T) {
	long := strings.Repeat("x", maxSaidReason+1)
	for want, what := range map[string]Action{
		"suspend, by eve at the web page": {Verb: "suspend"},
		"rollback stage production, bundle 6.0.1-ab12, by eve at the web page: slow": {
			Verb: "rollback", Stage: "production", Bundle: "6.0.1-ab12", Reason: "slow"},
		"suspend, by eve at the web page: " + long[1:]: {Verb: "suspend", Reason: long},
	} {
		if got := what.Sentence("eve"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// sluice ui asked why, and nobody was ever told.
func TestACommandOfSomebodyWithAKubeconfigLeavesAnEvent(t *testing.T) {
	const resume = `{"kind":"Kustomization","namespace":"apps","name":"shop","verb":"resume","reason":"the incident is over"}`
	suspended := make.Kustomization("apps", "shop", func(k *kustomizev1.Kustomization) { k.Spec.Suspend, k.UID = true, "1" })
	for name, tc := range map[string]struct {
		refuses error
		logged  []string
	}{
		"who may create events":  {nil, []string{"command given"}},
		"who may not is told so": {errors.New("events is forbidden"), []string{"command given", "event of a command not written"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := withObjects(t, suspended.DeepCopy())
			under, ok := s.Cluster.client.(client.WithWatch)
			if !ok {
				t.Fatal("the client cannot watch")
			}
			s.Cluster.client = interceptor.NewClient(under, interceptor.Funcs{
				Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
					if tc.refuses != nil {
						return tc.refuses
					}
					return c.Create(ctx, o, opts...)
				},
			})
			var logged []string
			s.Log = funcr.New(func(_, line string) { logged = append(logged, line) }, funcr.Options{})
			if w := post(s, resume, "1"); w.Code != http.StatusNoContent {
				t.Fatalf("got %d %s", w.Code, w.Body)
			}
			if len(logged) != len(tc.logged) {
				t.Fatalf("logged %q", logged)
			}
			for i, want := range tc.logged {
				if !strings.Contains(logged[i], want) || !strings.Contains(logged[i], `"reason"="the incident is over"`) {
					t.Errorf("logged %s", logged[i])
				}
			}
			var events corev1.EventList
			if err := under.List(t.Context(), &events); err != nil {
				t.Fatal(err)
			}
			if tc.refuses != nil {
				return
			}
			if len(events.Items) != 1 || events.Items[0].Reason != sluicev1.CommandGivenReason || events.Items[0].InvolvedObject.UID != "1" ||
				events.Items[0].Message != "resume, by eve at the web page: the incident is over" {
				t.Errorf("got %+v", events.Items)
			}
		})
	}
}

// The event was written with what was left of the request: none told of a command whose tab was closed meanwhile.
func TestACommandOfSomebodyWhoIsGoneLeavesAnEvent(t *testing.T) {
	s := withObjects(t, make.Kustomization("apps", "shop"))
	under, ok := s.Cluster.client.(client.WithWatch)
	if !ok {
		t.Fatal("the client cannot watch")
	}
	ctx, leave := context.WithCancel(t.Context())
	s.Cluster.client = interceptor.NewClient(under, interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			defer leave()
			return c.Patch(ctx, o, p, opts...)
		},
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if _, bounded := ctx.Deadline(); !bounded {
				t.Error("the event may take for ever")
			}
			return c.Create(ctx, o, opts...)
		},
	})
	r := request(`{"kind":"Kustomization","namespace":"apps","name":"shop","verb":"suspend"}`, "1").WithContext(ctx)
	s.handler.ServeHTTP(httptest.NewRecorder(), r)
	var events corev1.EventList
	if err := under.List(t.Context(), &events); err != nil || len(events.Items) != 1 {
		t.Errorf("%v %+v", err, events.Items)
	}
}
