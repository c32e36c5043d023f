// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"context"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllertest"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/wake/waketest"
	"github.com/sluice-cd/sluice/notify/alert"
	"github.com/sluice-cd/sluice/notify/outbox"
	"github.com/sluice-cd/sluice/test/make"
)

// testEnv is a reconciler in front of a fake API server, put together as
// SetupWithManager does.
type testEnv struct {
	*testing.T
	r     *Reconciler
	api   client.WithWatch
	clock *clocktesting.FakeClock
	cache *fakeCache
	woken <-chan types.NamespacedName
	// events are the messages of all events, in their order.
	events []string
}

func testScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, flaggerv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return scheme
}

// newEnv starts with some objects. Calls of the reconciler go through the funcs.
func newEnv(t *testing.T, funcs interceptor.Funcs, objects ...client.Object) *testEnv {
	t.Helper()
	api := fake.NewClientBuilder().WithScheme(testScheme(t)).WithObjects(objects...).
		WithStatusSubresource(&flaggerv1.Canary{}, &appsv1.Deployment{}).Build()
	e := &testEnv{
		T: t, api: api, clock: clocktesting.NewFakeClock(time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)),
		cache: &fakeCache{Reader: api, scheme: api.Scheme(), informers: map[schema.GroupVersionKind]*controllertest.FakeInformer{}},
	}
	e.r = &Reconciler{Clock: e.clock, Registry: prometheus.NewRegistry()}
	e.restart(interceptor.NewClient(api, funcs))
	return e
}

// restart puts the reconciler together anew, as after a restart of the process.
func (e *testEnv) restart(live client.Client) {
	e.Helper()
	messages, err := outbox.Open(e.TempDir(), e.clock, logr.Discard())
	if err != nil {
		e.Fatal(err)
	}
	e.r = &Reconciler{
		Clock: e.clock, Registry: prometheus.NewRegistry(), Provider: e.r.Provider, MetricsServer: e.r.MetricsServer,
		Alerts: alert.Options{Outbox: messages},
	}
	p := platform{config: &rest.Config{}, live: clients{workload: live}, caches: map[clusterName]cache.Cache{workloadCluster: e.cache}}
	if _, err := e.r.assemble(p, reconciler.Options{Clock: e.clock, Recorder: e}); err != nil {
		e.Fatal(err)
	}
	e.woken = waketest.Objects(e.T, &e.r.wake)
}

// Event implements [reconciler.Recorder].
func (e *testEnv) Event(_ client.Object, event reconciler.Event) {
	e.events = append(e.events, event.Message)
}

func (e *testEnv) get(name string, into client.Object) {
	e.Helper()
	if err := e.api.Get(e.Context(), client.ObjectKey{Namespace: "test", Name: name}, into); err != nil {
		e.Fatal(err)
	}
}

// fakeCache reads from the fake API server, and has informers that a test lets speak.
type fakeCache struct {
	client.Reader
	cache.Cache
	scheme    *runtime.Scheme
	informers map[schema.GroupVersionKind]*controllertest.FakeInformer
	// fails are the errors of getting an informer, by kind.
	fails map[string]error
}

func (c *fakeCache) Get(ctx context.Context, key client.ObjectKey, into client.Object, opts ...client.GetOption) error {
	return c.Reader.Get(ctx, key, into, opts...)
}

func (c *fakeCache) List(ctx context.Context, into client.ObjectList, opts ...client.ListOption) error {
	return c.Reader.List(ctx, into, opts...)
}

func (c *fakeCache) GetInformer(_ context.Context, of client.Object, _ ...cache.InformerGetOption) (cache.Informer, error) {
	kind, err := apiutil.GVKForObject(of, c.scheme)
	if err == nil {
		err = c.fails[kind.Kind]
	}
	if err != nil {
		return nil, err
	}
	if c.informers[kind] == nil {
		c.informers[kind] = controllertest.NewFakeInformer(controllertest.Synced)
	}
	return c.informers[kind], nil
}

// deployment makes one with a pod of an image, as it is once it is rolled out.
func deployment(name, image string, replicas int32) *appsv1.Deployment {
	return make.Deployment("test", name, image, func(d *appsv1.Deployment) {
		d.Spec.Replicas, d.Spec.Template.Spec.Containers[0] = &replicas, container(image)
		rolledOut(d)
	})
}
