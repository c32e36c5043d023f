// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"errors"
	"sync"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

// delivery is a verified request, and the Receiver whose objects it is about.
type delivery struct {
	receiver *notificationv1.Receiver
	payload  payload
	filters  *filters
	log      logr.Logger
}

// maxConcurrent is how many objects are annotated at the same time for one request.
const maxConcurrent = 8

// notify requests a reconcile of every object that the receiver names and that its
// filters pass. An object that fails does not stop the others.
func (h *Hooks) notify(ctx context.Context, d delivery) error {
	var (
		failures failures
		workers  sync.WaitGroup
		slots    = make(chan struct{}, maxConcurrent)
	)
	for i := range d.receiver.Spec.Resources {
		objects, err := h.targets(ctx, d, i)
		failures.add(d.log, err)
		for j := range objects {
			slots <- struct{}{}
			workers.Go(func() {
				defer func() { <-slots }()
				failures.add(d.log, background.Try(ctx, func() error { return h.notifyOne(ctx, d, i, &objects[j]) }))
			})
		}
	}
	workers.Wait()
	return errors.Join(failures.errors...)
}

func (h *Hooks) notifyOne(ctx context.Context, d delivery, i int, object *metav1.PartialObjectMetadata) error {
	passes, err := d.filters.pass(ctx, i, object)
	if err != nil || !passes {
		return err
	}
	if err := reconciler.Request(ctx, h.Writer, object, h.Clock.Now()); err != nil {
		return err
	}
	d.log.Info("requested a reconcile", "kind", object.Kind, "target", object.Namespace+"/"+object.Name)
	return nil
}

// failures collects errors of several workers.
type failures struct {
	mu     sync.Mutex
	errors []error
}

// add collects an error, which makes the answer a 500. An object that does not exist, or
// that a filter cannot be evaluated for, is logged only: otherwise the status of the answer
// would tell the author of a Receiver about objects that he may not read.
func (f *failures) add(log logr.Logger, err error) {
	switch {
	case err == nil:
		return
	case apierrors.IsNotFound(err), errors.Is(err, errFilter):
		log.Error(err, "an object was not notified")
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.errors = append(f.errors, err)
}
