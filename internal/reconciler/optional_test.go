// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache/informertest"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

var optionalKind = kustomizev1.GroupVersion.WithKind(kustomizev1.KustomizationKind)

// installing is a manager of an API server to which CRDs are applied.
type installing struct {
	ctrl.Manager
	cache *informertest.FakeInformers

	mu     sync.Mutex
	mapper *apimeta.DefaultRESTMapper
	fails  int // looks that the API server does not answer
}

func (m *installing) GetCache() cache.Cache             { return m.cache }
func (m *installing) GetRESTMapper() apimeta.RESTMapper { return lookingUp{in: m} }

func (m *installing) apply(kind schema.GroupVersionKind) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mapper.Add(kind, apimeta.RESTScopeNamespace)
}

type lookingUp struct {
	apimeta.RESTMapper
	in *installing
}

func (l lookingUp) RESTMapping(kind schema.GroupKind, versions ...string) (*apimeta.RESTMapping, error) {
	l.in.mu.Lock()
	defer l.in.mu.Unlock()
	if l.in.fails > 0 {
		l.in.fails--
		return nil, errors.New("starting")
	}
	return l.in.mapper.RESTMapping(kind, versions...)
}

func newInstalling(t *testing.T) *installing {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := kustomizev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	return &installing{mapper: apimeta.NewDefaultRESTMapper(nil), cache: &informertest.FakeInformers{Scheme: scheme}}
}

func TestAKindWhoseCRDIsAppliedLaterIsWatchedFromThenOn(t *testing.T) {
	m := newInstalling(t)
	m.apply(schema.GroupVersionKind{Group: optionalKind.Group, Version: "v1beta2", Kind: optionalKind.Kind}) // another version is not the kind
	indexed := 0
	optional, watch, err := WatchOptional(t.Context(), m, OptionalWatch{
		Kind: optionalKind, Object: &kustomizev1.Kustomization{}, Handler: &handler.EnqueueRequestForObject{},
		Index: func(context.Context) error { indexed++; return nil },
	})
	if err != nil || watch == nil || optional.Served() || indexed > 0 {
		t.Fatalf("before: error %v, served %v, indexed %d times", err, optional.Served(), indexed)
	}
	later := &laterSource{OptionalWatch: OptionalWatch{
		Kind: optionalKind, Object: &kustomizev1.Kustomization{}, Handler: &handler.EnqueueRequestForObject{},
		Index: func(context.Context) error { indexed++; return nil },
	}, mgr: m}
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	defer queue.ShutDown()
	m.fails = 1
	for range 2 { // the API server is starting, and then has the other version alone
		if begun, _ := later.startIfInstalled(t.Context(), queue); begun || later.optional.Served() {
			t.Error("it counts as served before it is")
		}
	}
	m.apply(optionalKind)
	if begun, err := later.startIfInstalled(t.Context(), queue); !begun || err != nil || !later.optional.Served() {
		t.Fatalf("begun %t, served %t, %v", begun, later.optional.Served(), err)
	}
	informer, err := m.cache.FakeInformerFor(t.Context(), &kustomizev1.Kustomization{})
	if err != nil {
		t.Fatal(err)
	}
	informer.Add(app())
	if queue.Len() == 0 {
		t.Fatal("its objects never come")
	}
	if got, _ := queue.Get(); got.Name != "app" || indexed != 1 {
		t.Errorf("got %v, indexed %d times", got, indexed)
	}
}

func TestAKindThatIsThereIsWatchedFromTheStart(t *testing.T) {
	m := newInstalling(t)
	m.apply(optionalKind)
	indexed := 0
	w := OptionalWatch{Kind: optionalKind, Object: &kustomizev1.Kustomization{}, Index: func(context.Context) error { indexed++; return nil }}
	if optional, watch, err := WatchOptional(t.Context(), m, w); err != nil || watch == nil || !optional.Served() || indexed != 1 {
		t.Errorf("error %v, served %v, indexed %d times", err, optional.Served(), indexed)
	}
	m.fails = 1
	if _, _, err := WatchOptional(t.Context(), m, w); err == nil {
		t.Error("an API server that does not answer counts as one without the kind")
	}
	var none *Optional
	if none.Served() {
		t.Error("nil is served")
	}
}

func TestALookForAKindIsRepeated(t *testing.T) {
	m := newInstalling(t)
	m.apply(optionalKind)
	m.fails = 2
	later := &laterSource{
		OptionalWatch: OptionalWatch{Kind: optionalKind, Object: &kustomizev1.Kustomization{}, Handler: &handler.EnqueueRequestForObject{}},
		mgr:           m, period: time.Millisecond,
	}
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	defer queue.ShutDown()
	if err := later.Start(t.Context(), queue); err != nil {
		t.Fatal(err)
	}
	for deadline := time.After(5 * time.Minute); !later.optional.Served(); {
		select {
		case <-deadline:
			t.Fatal("it is never served")
		case <-time.After(time.Millisecond):
		}
	}
}
