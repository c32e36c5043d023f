// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-cd/sluice/internal/kinds"
	"github.com/sluice-cd/sluice/internal/reconciler"

	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// Workers is how many each controller of [Playground.Serve] has.
const Workers = 4

// NewNamespace makes a namespace that a test has for itself, and that goes with it. Its
// name begins with prefix.
func (p *Playground) NewNamespace(tb testing.TB, prefix string, labels map[string]string) string {
	tb.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: prefix, Labels: labels}}
	if err := p.Client.Create(tb.Context(), ns); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = p.Client.Delete(context.Background(), ns) })
	return ns.Name
}

// quiet throws the logs of controllers in a test's own process away, except panics, after which a reconcile is only tried again
// and its test waits in vain. The logger is set once: tests run side by side.
var quiet = sync.OnceFunc(func() {
	ctrl.SetLogger(funcr.New(func(_, line string) {
		if strings.Contains(line, "panic") {
			_, _ = fmt.Fprintln(os.Stderr, line)
		}
	}, funcr.Options{Verbosity: -1})) // errors alone
})

// Serve runs the controllers that setup adds to a manager, in the test's own
// process, until the returned function is called or the test ends. They see the
// namespaces alone, or the whole cluster if there are none, and tell their events
// to the API server.
func (p *Playground) Serve(tb testing.TB, setup func(ctrl.Manager, reconciler.Options) error, namespaces ...string) (stop func()) {
	tb.Helper()
	quiet() // what happens is told by conditions and events
	must := func(err error) {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
	}
	scheme, err := kinds.Scheme()
	must(err)
	options := ctrl.Options{
		Scheme: scheme, Metrics: metricsserver.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: ptr.To(true)},
		Client:     client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}, &corev1.ConfigMap{}}}},
	}
	for _, ns := range namespaces {
		if options.Cache.DefaultNamespaces == nil {
			options.Cache.DefaultNamespaces = map[string]cache.Config{}
		}
		options.Cache.DefaultNamespaces[ns] = cache.Config{}
	}
	mgr, err := ctrl.NewManager(p.REST, options)
	must(err)
	events, err := reconciler.NewRecorder(p.REST, scheme)
	must(err)
	must(mgr.Add(events))
	must(setup(mgr, reconciler.Options{Concurrent: Workers, Clock: clock.RealClock{}, Recorder: events}))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			tb.Errorf("manager: %v", err)
		}
	}
	tb.Cleanup(stop)
	return stop
}
