// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/sluice-cd/sluice/internal/background"
)

// Optional is a kind that a controller takes into account where the API server has it,
// also when its CRD is applied while the process runs: an installation applies its CRDs
// one by one, and a process that looked between two of them must not go on without the
// second. A nil Optional is never served.
type Optional struct{ served atomic.Bool }

// Served reports whether objects of the kind can be listed.
func (o *Optional) Served() bool { return o != nil && o.served.Load() }

// AlwaysServed is a kind that is there from the start.
func AlwaysServed() *Optional {
	o := &Optional{}
	o.served.Store(true)
	return o
}

// OptionalWatch is what a controller watches of an optional kind.
type OptionalWatch struct {
	Kind   schema.GroupVersionKind
	Object client.Object
	// Index registers the indexes of the kind; nil is none.
	Index      func(context.Context) error
	Handler    handler.EventHandler
	Predicates []predicate.Predicate
}

// optionalPeriod is the time between two looks for a kind that is not there.
const optionalPeriod = 5 * time.Second

// WatchOptional returns the watch, which begins when the API server has the kind. From
// then on, and before the first event, the kind is served.
func WatchOptional(ctx context.Context, mgr ctrl.Manager, w OptionalWatch) (*Optional, Watch, error) {
	served, err := Serves(mgr, w.Kind)
	if err != nil {
		return nil, nil, err
	}
	if !served {
		later := &laterSource{OptionalWatch: w, mgr: mgr, period: optionalPeriod}
		return &later.optional, func(b *builder.Builder) *builder.Builder { return b.WatchesRawSource(later) }, nil
	}
	if err := w.index(ctx); err != nil {
		return nil, nil, err
	}
	return AlwaysServed(), func(b *builder.Builder) *builder.Builder {
		return b.Watches(w.Object, w.Handler, builder.WithPredicates(w.Predicates...))
	}, nil
}

func (w OptionalWatch) index(ctx context.Context) error {
	if w.Index == nil {
		return nil
	}
	return w.Index(ctx)
}

// laterSource watches a kind from when the API server has it. Other than the sources of
// controller-runtime it lets the controller start without it.
type laterSource struct {
	OptionalWatch
	mgr      ctrl.Manager
	period   time.Duration
	optional Optional
	indexed  bool
}

// String names the source in logs.
func (s *laterSource) String() string { return "optional kind source: " + s.Kind.String() }

// Start implements source.Source.
func (s *laterSource) Start(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	go func() {
		// The only error is that ctx ended.
		_ = wait.PollUntilContextCancel(ctx, s.period, true, func(ctx context.Context) (bool, error) {
			var begun bool
			err := background.Try(ctx, func() (err error) {
				begun, err = s.startIfInstalled(ctx, queue)
				return err
			})
			if err != nil {
				log.FromContext(ctx).Error(err, "watching an optional kind", "kind", s.Kind.String())
			}
			return begun, nil
		})
	}()
	return nil
}

// startIfInstalled starts the watch if the kind is there.
func (s *laterSource) startIfInstalled(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) (bool, error) {
	if served, err := Serves(s.mgr, s.Kind); err != nil || !served {
		return false, err
	}
	if !s.indexed {
		if err := s.index(ctx); err != nil {
			return false, err
		}
		s.indexed = true
	}
	if _, err := s.mgr.GetCache().GetInformer(ctx, s.Object); err != nil { // waits until it has them all
		return false, err
	}
	s.optional.served.Store(true)
	log.FromContext(ctx).Info("the API server has an optional kind now", "kind", s.Kind.String())
	kind := source.Kind(s.mgr.GetCache(), s.Object, s.Handler, s.Predicates...)
	if err := kind.Start(ctx, queue); err != nil {
		return false, err
	}
	return true, kind.WaitForSync(ctx)
}
