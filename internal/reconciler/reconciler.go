// SPDX-License-Identifier: Apache-2.0

// Package reconciler is the one place for what all served kinds have in
// common: suspend, reconcile requests, finalizers, the Ready, Reconciling and
// Stalled conditions, observedGeneration, events, and the single status patch.
//
// A controller implements [Controller]: it looks at the world, acts, and writes
// what it found into the object's status in memory. The runner does the rest:
//
//	get -> deleted? -> Finalize, drop finalizer
//	    -> suspended? -> stop
//	    -> Controller.Reconcile -> conditions -> patch once, if changed -> events
//	       (and before, at a Checkpoint)
//	       (of a slow server: outside of the worker)
//
// Conditions follow kstatus: Ready is True, False or Unknown; Reconciling and
// Stalled are present only while they are true. A plain error is retried with
// backoff, an error wrapped by [Waiting] is retried after a fixed delay, one wrapped
// by [Pending] is not even a failure, and reconcile.TerminalError marks the object
// Stalled until someone changes it.
//
// fluxcd/pkg/runtime has helpers for conditions, patches and events, of which each controller
// makes its own reconcile; two patches, a forgotten observedGeneration or an event that says
// nothing new are then up to each. Here it is one function for all kinds, which also knows
// slow servers, shares of namespaces and what resolves by itself.
package reconciler

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Object is what every served kind is: a Kubernetes object with conditions.
type Object interface {
	client.Object
	GetConditions() []metav1.Condition
	SetConditions([]metav1.Condition)
}

// Kind tells the runner how to see the common fields of one kind.
type Kind[T Object] struct {
	// Name is the controller's, in logs and metrics.
	Name string
	// New returns an empty object to decode into.
	New func() T
	// Suspended reports spec.suspend.
	Suspended func(T) bool
	// Observed returns pointers into the status.
	Observed func(T) StatusFields
	// Finalizer names the finalizer the object needs now, or "". Nil means
	// [DefaultFinalizer] when the controller is a [Finalizer], else none.
	Finalizer func(T) string
	// About returns what all events of an object have in their metadata: its
	// revision, under the key by which notifications know it. What an event or a
	// result says by itself comes before. Nil means that the kind has none.
	About func(T) map[string]string
	// LagsUnlessReady leaves status.observedGeneration where it was while an object is
	// neither Ready nor Stalled.
	LagsUnlessReady bool
	// Host names the server that a run of the object waits for. A run that takes
	// longer than a moment then goes on outside of the workers, so that a server
	// which says nothing holds up no object but its own. Nil means that runs wait
	// for nothing but the API server.
	Host func(context.Context, T) string
	// Waits reports whether runs of an object wait for its Host at all, and with them its
	// deletion. Nil means that all runs do, and no deletion.
	Waits func(T) bool
}

// StatusFields points at the status fields that the runner keeps. A nil pointer
// means that the kind has no such field.
type StatusFields struct {
	Generation *int64
	HandledAt  *string
}

// DefaultFinalizer is the finalizer of every Flux kind. It is removed from
// deleted objects even when the controller has nothing to clean up, so that an
// object that another installation created can be deleted.
const DefaultFinalizer = "finalizers.fluxcd.io"

// Controller reconciles one kind.
type Controller[T Object] interface {
	// Reconcile observes, acts, and writes what it found into obj's status, in
	// memory only.
	Reconcile(ctx context.Context, obj T) (Result, error)
	// Reason maps an error of Reconcile that has no reason by [WithReason] to the reason
	// of the Ready condition.
	Reason(err error) string
}

// Finalizer is implemented by controllers that clean up before an object goes.
// Finalize is repeated until it returns nil.
type Finalizer[T Object] interface {
	Finalize(ctx context.Context, obj T) error
}

// Forgetter is implemented by controllers that remember something of their objects. Forget
// is called once or more for each that is gone, however it went: somebody may have taken the
// finalizer off by hand. No run of the object is under way then.
type Forgetter interface {
	Forget(ctx context.Context, key types.NamespacedName)
}

// Cleaner is implemented, instead of [Finalizer] and [Forgetter], by controllers that need nothing of an object but its key
// to clean up. Clean is repeated until it returns nil before an object goes, and called once more when it is gone: somebody
// may have taken the finalizer off by hand.
type Cleaner interface {
	Clean(key types.NamespacedName) error
}

// Result is what a reconcile without error came to.
type Result struct {
	// Reason and Message are those of the Ready condition. Beside an error, a message
	// is that of Reconciling: what is tried again.
	Reason, Message string
	// About is what all events of this run have in their metadata.
	About map[string]string
	// Progressing leaves Ready Unknown and Reconciling True: the work goes on
	// outside the worker, and a watch or After brings the object back.
	Progressing bool
	// After is the safety-net requeue; zero means none.
	After time.Duration
	// Events are emitted once the status patch has succeeded. If there are any, they
	// replace the event that the runner emits by itself when Ready turns or stays True.
	Events []Event
	// ReadyEvent says whether the runner emits that event when there are no others.
	ReadyEvent ReadyEvent
	// Recorded, if there is one, is called once the status says all this: what it
	// counts is not counted again when the patch fails and the run is repeated.
	Recorded func()
}

// ReadyEvent is what becomes of the event about Ready=True that the runner emits by
// itself.
type ReadyEvent int

const (
	// EmitReadyEvent emits it whenever the Ready condition says something new.
	EmitReadyEvent ReadyEvent = iota
	// SkipReadyEvent leaves it out: a revision in the message is no news by itself.
	SkipReadyEvent
)

// Event is a Kubernetes event on the reconciled object; Metadata becomes its
// annotations.
type Event struct {
	Type, Reason, Message string
	Metadata              map[string]string
	// Advice says of a Warning that what it is about works all the same: Alerts are told
	// an info, and commit statuses nothing.
	Advice bool
	// Always says that it is told also if the status says nothing new.
	Always bool
	// AlertsOnly says that it is told to Alerts, and is no Kubernetes event: it sets the status of a commit, and
	// is no news to who reads events.
	AlertsOnly bool
	// Token tells an event from one that says the same, for Alerts. It is no annotation.
	Token string
}

// Options are shared by all controllers of one process.
type Options struct {
	// Concurrent is the number of objects of the kind reconciled at once.
	Concurrent int
	// Clock is the time that controllers see.
	Clock clock.PassiveClock
	// Recorder receives the events; see [NewRecorder].
	Recorder Recorder
	// MinRetryDelay and MaxRetryDelay bound the backoff of objects that fail; zero
	// is the default.
	MinRetryDelay, MaxRetryDelay time.Duration
	// Configs select, by their labels, the Secrets and ConfigMaps whose changes start reconciles
	// of what refers to them; nil is all, and [labels.Nothing] has none of them watched.
	Configs labels.Selector
}
