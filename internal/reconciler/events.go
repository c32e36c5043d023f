// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"fmt"
	"os"

	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/record"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// Recorder emits Kubernetes events.
type Recorder interface {
	Event(obj client.Object, e Event)
}

// components are the sources that events name: the controllers whose kinds these
// are, since that is what dashboards and alerts filter by. Every other kind's
// source is [component].
var components = map[string]string{
	"GitRepository":         "source-controller",
	"OCIRepository":         "source-controller",
	"Bucket":                "source-controller",
	"ArtifactGenerator":     "source-watcher",
	"Kustomization":         "kustomize-controller",
	"ImageRepository":       "image-reflector-controller",
	"ImagePolicy":           "image-reflector-controller",
	"ImageUpdateAutomation": "image-automation-controller",
	"Receiver":              "notification-controller",
	"Provider":              "notification-controller",
	"Alert":                 "notification-controller",
	"Canary":                "flagger",
}

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
	scheme      *runtime.Scheme
	recorders   map[string]record.EventRecorder // by kind; "" is for all others
	broadcaster record.EventBroadcaster
	events      typedcorev1.EventInterface

	flux translation
	// Listen is called with each event in Flux's format, if it is not nil: for Alerts. It
	// must not block.
	Listen func(eventv1.Event)
}

// NewRecorder returns a recorder that writes core/v1 events, which is what
// `flux events` and `kubectl get events` list. Start it with the manager.
func NewRecorder(config *rest.Config, scheme *runtime.Scheme) (*EventSink, error) {
	binary := rest.CopyConfig(config) // what the API server answers is the event again, for nobody
	binary.ContentType, binary.AcceptContentTypes = runtime.ContentTypeProtobuf, runtime.ContentTypeProtobuf+","+runtime.ContentTypeJSON
	clientset, err := kubernetes.NewForConfig(binary)
	if err != nil {
		return nil, err
	}
	broadcaster := record.NewBroadcasterWithCorrelatorOptions(record.CorrelatorOptions{
		BurstSize: eventBurst, QPS: eventQPS,
		// Similar events are sent one by one: each carries its own values.
		MaxEvents: eventBurst,
	})
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("finding the host name: %w", err)
	}
	s := &EventSink{
		scheme: scheme, flux: translation{scheme, clock.RealClock{}, host}, broadcaster: broadcaster, events: clientset.CoreV1().Events(""),
		recorders: map[string]record.EventRecorder{
			"": broadcaster.NewRecorder(scheme, corev1.EventSource{Component: component}),
		},
	}
	for kind, component := range components {
		s.recorders[kind] = broadcaster.NewRecorder(scheme, corev1.EventSource{Component: component})
	}
	return s, nil
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
	e.Message = harmless(e.Message)
	recorder, name := s.recorders[""], component
	if gvk, err := apiutil.GVKForObject(obj, s.scheme); err == nil && s.recorders[gvk.Kind] != nil {
		recorder, name = s.recorders[gvk.Kind], components[gvk.Kind]
	}
	if !e.AlertsOnly {
		recorder.AnnotatedEventf(obj, e.Metadata, e.Type, e.Reason, "%s", e.Message)
	}
	if s.Listen == nil {
		return
	}
	if told, ok := s.flux.event(obj, name, e); ok {
		s.Listen(told)
	}
}
