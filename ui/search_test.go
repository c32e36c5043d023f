// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	builder "github.com/sluice-cd/sluice/test/make"
)

// namesIn are the objects that an answer to a search names.
func namesIn(t *testing.T, w *httptest.ResponseRecorder) (names []string, more int) {
	t.Helper()
	var found FoundObjects
	if err := json.Unmarshal(w.Body.Bytes(), &found); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%d %s (%v)", w.Code, w.Body, err)
	}
	for _, o := range found.Items {
		names = append(names, fmt.Sprintf("%s %s/%s", o.Kind, o.Namespace, o.Name))
	}
	return names, found.More
}

// Objects that no lane has, as a Receiver, were not found by their name: "Ctrl-K goes anywhere" but to them.
func TestObjectsAreFoundByTheirName(t *testing.T) {
	cluster := furnished(t)
	hook := &notificationv1.Receiver{ObjectMeta: builder.Canary("apps", "hook-of-podinfo").ObjectMeta}
	if err := cluster.client.Create(t.Context(), hook); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string][]string{
		"receiver":      {"Receiver apps/hook-of-podinfo"},
		"PODINFO+apps":  {"Canary apps/podinfo", "Deployment apps/podinfo", "Receiver apps/hook-of-podinfo"},
		"hook+canary":   nil,
		"apps/shop+kus": {"Kustomization apps/shop"},
		"":              nil,
		"+":             nil,
	} {
		names, more := namesIn(t, askOwner(t, cluster, "/api/v1/search?q="+query))
		if !slices.Equal(names, want) || more != 0 {
			t.Errorf("%q: %q and %d more, want %q", query, names, more, want)
		}
	}
	if w := askOwner(t, cluster, "/api/v1/search?q="+strings.Repeat("a", maxWords+1)); w.Code != http.StatusBadRequest {
		t.Errorf("a text of no name: %d %s", w.Code, w.Body)
	}
}

func TestASearchNamesFewObjectsAndHowManyMoreThereAre(t *testing.T) {
	cluster := furnished(t)
	for i := range maxFound + 7 {
		if err := cluster.client.Create(t.Context(), builder.Deployment("apps", fmt.Sprintf("many-%02d", i), "x:1")); err != nil {
			t.Fatal(err)
		}
	}
	if names, more := namesIn(t, askOwner(t, cluster, "/api/v1/search?q=many")); len(names) != maxFound || more != 7 {
		t.Errorf("%d and %d more", len(names), more)
	}
}

func TestASearchNamesNoTenantsObjectsToAnother(t *testing.T) {
	cluster := furnished(t)
	if err := cluster.client.Create(t.Context(), builder.Deployment("other", "podinfo", "podinfo:2")); err != nil {
		t.Fatal(err)
	}
	s := signedIn(t, Options{Cluster: cluster, Clock: clock.RealClock{}, Log: logr.Discard()}, map[string]scope{
		"apps": in("apps", "Canary"), "other": in("other", "Deployment", "Canary"), AnonymousUser: {},
	})
	for user, want := range map[string][]string{"apps": {"Canary apps/podinfo"}, "other": {"Deployment other/podinfo"}, AnonymousUser: nil} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost:8080/api/v1/search?q=podinfo", http.NoBody)
		if user != AnonymousUser {
			r.Header.Set("Authorization", "Bearer token-of-"+user)
		}
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, r)
		if names, more := namesIn(t, w); !slices.Equal(names, want) || more != 0 {
			t.Errorf("%s is told of %q and %d more, want %q", user, names, more, want)
		}
	}
}

// searchAs has somebody search, and returns what is answered, which may be later.
func searchAs(t *testing.T, handler http.Handler, v *view) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(context.WithValue(t.Context(), viewKey{}, v), http.MethodGet, "/api/v1/search?q=podinfo", http.NoBody)
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

// A few users whose rights were still asked for had everybody else's searches wait as long.
func TestASearchDoesNotWaitForTheRightsOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := furnished(t)
		under, ok := cluster.client.(client.WithWatch)
		if !ok {
			t.Fatalf("%T watches nothing", cluster.client)
		}
		unanswered := interceptor.NewClient(under, interceptor.Funcs{
			Create: func(ctx context.Context, _ client.WithWatch, _ client.Object, _ ...client.CreateOption) error {
				<-ctx.Done()
				return ctx.Err()
			}})
		handler, codes := search(), make(chan int, maxSearches)
		for i := range maxSearches {
			v := &view{Cluster: cluster, client: unanswered, user: fmt.Sprint(i), rights: &rights{clock: clock.RealClock{}}}
			go func() { codes <- searchAs(t, handler, v).Code }()
		}
		synctest.Wait()
		if names, _ := namesIn(t, searchAs(t, handler, cluster.ownerView())); len(names) == 0 {
			t.Error("nothing is found")
		}
		if len(codes) > 0 {
			t.Fatalf("the others were answered before: %d", <-codes)
		}
		for range maxSearches { // when their time is up
			if code := <-codes; code != http.StatusBadGateway {
				t.Errorf("who is told nothing of their rights: %d", code)
			}
		}
	})
}

// hangingCache lists nothing before a context ends.
type hangingCache struct{ clientCache }

func (*hangingCache) List(ctx context.Context, _ client.ObjectList, _ ...client.ListOption) error {
	<-ctx.Done()
	return ctx.Err()
}

// One user's searches took the slots of all.
func TestOneUserHasOneSearchUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow, quick := furnished(t), furnished(t).ownerView()
		slow.cache = &hangingCache{}
		handler, codes := search(), make(chan int, 2*maxSearches)
		for range cap(codes) {
			go func() { codes <- searchAs(t, handler, slow.ownerView()).Code }()
		}
		synctest.Wait()
		quick.user = "another"
		if names, _ := namesIn(t, searchAs(t, handler, quick)); len(names) == 0 {
			t.Error("nothing is found")
		}
		if len(codes) > 0 {
			t.Fatalf("the others were answered before: %d", <-codes)
		}
		for range cap(codes) {
			if code := <-codes; code != http.StatusTooManyRequests && code != http.StatusBadGateway { // who waited, and who searched
				t.Errorf("who was not answered in time: %d", code)
			}
		}
	})
}
