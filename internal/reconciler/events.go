package reconciler

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/record"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Recorder emits Kubernetes events.
type Recorder interface {
	Event(obj client.Object, e Event)
}

// component is the source that events name.
const component = "sluice"

// Events allowed for one object before client-go's spam filter drops them, and
// how many come back per second. A canary with many steps tells one event a
// step; the library's default of 25 events and one every five minutes would
// swallow the verdict.
const (
	eventBurst = 200
	eventQPS   = 1
)

// EventSink writes events to the API server until its context ends.
type EventSink struct {
	recorder    record.EventRecorder
	broadcaster record.EventBroadcaster
	events      typedcorev1.EventInterface
}

// NewRecorder returns a recorder that writes core/v1 events, which is what
// `flux events` and `kubectl get events` list. Start it with the manager.
func NewRecorder(config *rest.Config, scheme *runtime.Scheme) (*EventSink, error) {
	clientset, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	broadcaster := record.NewBroadcasterWithCorrelatorOptions(record.CorrelatorOptions{
		BurstSize: eventBurst, QPS: eventQPS,
		// Similar events are told one by one: each carries its own values.
		MaxEvents: eventBurst,
	})
	return &EventSink{
		recorder:    broadcaster.NewRecorder(scheme, corev1.EventSource{Component: component}),
		broadcaster: broadcaster,
		events:      clientset.CoreV1().Events(""),
	}, nil
}

// Start implements manager.Runnable: it delivers events until ctx ends.
func (s *EventSink) Start(ctx context.Context) error {
	s.broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: s.events})
	<-ctx.Done()
	s.broadcaster.Shutdown()
	return nil
}

// Event implements [Recorder].
func (s *EventSink) Event(obj client.Object, e Event) {
	s.recorder.AnnotatedEventf(obj, e.Metadata, e.Type, e.Reason, "%s", e.Message)
}
