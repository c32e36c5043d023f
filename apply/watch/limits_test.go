// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"

	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/test/fake/apiserver"
)

// TestAListThatNeverEndsIsGivenUp: whoever owns another cluster decides what it answers.
func TestAListThatNeverEndsIsGivenUp(t *testing.T) {
	pages := 0
	endless := &cache.ListWatch{ListWithContextFunc: func(_ context.Context, options metav1.ListOptions) (runtime.Object, error) {
		if options.ResourceVersion == "0" {
			t.Error("asked for all at once")
		}
		pages++
		list := &unstructured.UnstructuredList{Items: make([]unstructured.Unstructured, 10)}
		list.SetContinue("more")
		return list, nil
	}}
	lw := Limits{Objects: 25}.listWatch(endless, func(error) {})
	for range 2 { // each list is counted anew
		pages = 0
		options := metav1.ListOptions{ResourceVersion: "0"}
		var err error
		for err == nil {
			_, err = lw.ListWithContext(t.Context(), options)
			options = metav1.ListOptions{Continue: "more"}
		}
		if !strings.Contains(err.Error(), "more than 25 objects") || pages != 3 {
			t.Errorf("%d pages, %v", pages, err)
		}
	}
}

// Few objects may be large: only their number was counted.
func TestAListOfTooManyBytesIsGivenUp(t *testing.T) {
	large := strings.Repeat("x", 1000)
	object := unstructured.Unstructured{Object: map[string]any{"data": map[string]any{"list": []any{large}, large: 1}}}
	described := metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"a": large, "b": large}}}
	for name, page := range map[string]runtime.Object{
		"objects":  &unstructured.UnstructuredList{Items: []unstructured.Unstructured{object}},
		"metadata": &metav1.PartialObjectMetadataList{Items: []metav1.PartialObjectMetadata{described}},
	} {
		endless := &cache.ListWatch{ListWithContextFunc: func(context.Context, metav1.ListOptions) (runtime.Object, error) { return page, nil }}
		lw := Limits{Objects: 1000, Bytes: 5000}.listWatch(endless, func(error) {})
		for range 2 { // each list is counted anew
			pages := 0
			var options metav1.ListOptions
			var err error
			for ; err == nil && pages < 100; pages++ {
				_, err = lw.ListWithContext(t.Context(), options)
				options.Continue = "more"
			}
			if err == nil || !strings.Contains(err.Error(), "objects of more than 5000 bytes") || pages != 3 {
				t.Errorf("%s: %d pages, %v", name, pages, err)
			}
		}
	}
}

// The first list of an informer was bounded, and then its watch could add objects without
// end: new ones, those that are said to have changed, and ever larger ones.
func TestAWatchThatNeverEndsEndsTheInformer(t *testing.T) {
	for name, tc := range map[string]struct {
		limits Limits
		next   func(server *apiserver.Server, i int)
	}{
		"ever more objects": {Limits{Objects: 10}, func(server *apiserver.Server, i int) {
			server.Put(fmt.Sprintf("/api/v1/namespaces/ns/services/s%d", i), named(services, fmt.Sprintf("s%d", i)))
		}},
		"an object that grows": {Limits{Objects: 100, Bytes: 10_000}, func(server *apiserver.Server, i int) {
			grown := named(services, "one")
			grown.Object["data"] = strings.Repeat("x", 1000*i)
			server.Put("/api/v1/namespaces/ns/services/one", grown)
		}},
		"an object of which ever more is kept": {
			Limits{Objects: 100, Quota: &Quota{Targets: 1, Bytes: 10_000}}, func(server *apiserver.Server, i int) {
				grown := named(services, "one")
				grown.SetAnnotations(map[string]string{"a": strings.Repeat("x", 1000*i)})
				server.Put("/api/v1/namespaces/ns/services/one", grown)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			server, s := newInformers(t)
			s.Limit(tc.limits)
			h := newSignals()
			u := s.Subscribe(owner, h)
			target := Target{GroupVersionKind: services}
			u.Use(t.Context(), []Target{target})
			u.WaitSynced(t.Context())
			for i := range 8 {
				tc.next(server, i)
				wait(t, h.changed, "within the limit")
			}
			for i := range 8 {
				tc.next(server, 8+i)
			}
			wait(t, h.health, "the informer has ended")
			u.WaitSynced(t.Context())
			if _, freshness := s.Observe(services, idOf(services, "s1"), ""); freshness != decide.Unknown {
				t.Errorf("freshness %d", freshness)
			}
			u.Close(t.Context())
			if share := tc.limits.Quota; share != nil && (share.targets != 0 || share.bytes != 0) {
				t.Errorf("left over: %d targets, %d bytes", share.targets, share.bytes)
			}
			if u.Use(t.Context(), []Target{target}); s.byTarget[target] == nil || s.byTarget[target].bounds == nil {
				t.Error("no other informer for the next user")
			}
		})
	}
}

// A list that began gave back what the informer still kept of the one before: others took the
// room, and the list that was no longer than before was too much.
func TestWhatIsListedAgainKeepsItsQuota(t *testing.T) {
	page := &unstructured.UnstructuredList{Items: []unstructured.Unstructured{*named(services, "one"), *named(services, "two")}}
	share, room := &Quota{Bytes: 2000}, int64(1500) // that others ask for
	var failure error
	lw := Limits{Objects: 10, Quota: share}.listWatch(&cache.ListWatch{
		ListWithContextFunc: func(context.Context, metav1.ListOptions) (runtime.Object, error) {
			if room > 0 && share.grow(room) {
				t.Error("others had the room of what is listed again")
			}
			return page, nil
		},
	}, func(err error) { failure = err })
	share.bytes = 800 // of others, until the first list is over
	for range 3 {
		if _, err := lw.ListWithContext(t.Context(), metav1.ListOptions{}); err != nil || failure != nil {
			t.Fatal(err, failure)
		}
		share.bytes = lw.held
	}
	page.Items = page.Items[:1]
	if _, err := lw.ListWithContext(t.Context(), metav1.ListOptions{}); err != nil || share.bytes != lw.total.kept {
		t.Errorf("%v, holds %d for %d", err, share.bytes, lw.total.kept)
	}
	lw.release()
	room = 0
	if _, err := lw.ListWithContext(t.Context(), metav1.ListOptions{}); err == nil || failure != nil || share.bytes != 0 {
		t.Errorf("after its end: %v, reported %v, holds %d", err, failure, share.bytes)
	}
}

func TestAClusterOfSomebodyElseHasALimitOfInformers(t *testing.T) {
	for name, limits := range map[string]Limits{
		"of its own": {Targets: 1}, "of all clusters of a namespace": {Quota: &Quota{Targets: 1}},
	} {
		_, s := newInformers(t)
		s.Limit(limits)
		a, b := s.Subscribe(owner, newSignals()), s.Subscribe(profile.Owner("ns", "other"), newSignals())
		one, two := Target{GroupVersionKind: services}, Target{GroupVersionKind: configMaps}
		if a.Use(t.Context(), []Target{one, two}); s.byTarget[one] == nil || s.byTarget[two] != nil {
			t.Errorf("%s: %v", name, s.byTarget)
		}
		a.Close(t.Context())
		if b.Use(t.Context(), []Target{two}); s.byTarget[two] == nil {
			t.Errorf("%s: no room after the first one ended", name)
		}
	}
}

// slowKinds does not say which resource has a kind.
type slowKinds struct {
	meta.RESTMapper
	asked, answer chan struct{}
}

func (s slowKinds) RESTMapping(kind schema.GroupKind, versions ...string) (*meta.RESTMapping, error) {
	close(s.asked)
	<-s.answer
	return s.RESTMapper.RESTMapping(kind, versions...)
}

// A kind that the API server took its time to find held up all who looked at other kinds.
func TestASlowAnswerAboutKindsHoldsNobodyElse(t *testing.T) {
	_, s := newInformers(t)
	u := s.Subscribe(owner, newSignals())
	slow := slowKinds{s.mapper, make(chan struct{}), make(chan struct{})}
	s.mapper = slow
	var using sync.WaitGroup
	using.Go(func() { u.Use(t.Context(), []Target{{GroupVersionKind: services}}) })
	<-slow.asked
	s.Subscribe(profile.Owner("ns", "other"), newSignals()).Close(t.Context()) // or the test hangs
	if _, freshness := s.Observe(services, idOf(services, "a"), ""); freshness != decide.Unknown {
		t.Errorf("freshness %d", freshness)
	}
	close(slow.answer)
	using.Wait()
	if s.byTarget[Target{GroupVersionKind: services}] == nil {
		t.Error("not watched after all")
	}
}
