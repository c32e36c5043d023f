// SPDX-License-Identifier: Apache-2.0

package flagger

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"

	"github.com/sluice-cd/sluice/test/harness"
)

const (
	// pollEvery is how often a story looks: many do at the same time.
	pollEvery = 200 * time.Millisecond
)

// story is one application with its Canary in a namespace of its own.
type story struct {
	*testing.T
	ns string
	// target is the name of the workload and of the Canary, service that of the
	// Service, and ingress that of the Ingress.
	target, service, ingress string
	daemonset                bool
	// route is the object with the weights; nil splits no users.
	route *route

	mu      sync.Mutex
	phases  []string // of the Canary, each once
	weights []int    // of the canary in the route, each once
}

// tell begins a story.
func tell(t *testing.T, ns string, change func(*story)) *story {
	t.Helper()
	t.Parallel()
	s := &story{T: t, ns: ns, target: "podinfo", service: "podinfo", ingress: "podinfo"}
	if change != nil {
		change(s)
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}
	if err := the.Client.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	the.users.join(s)
	t.Cleanup(func() {
		the.users.leave(s)
		if t.Failed() {
			s.explain()
		}
		if err := client.IgnoreNotFound(the.Client.Delete(context.Background(), namespace)); err != nil {
			t.Error(err)
		}
	})
	s.follow()
	if s.route != nil {
		s.route.follow(s)
	}
	return s
}

// explain logs what the controller and the API server know about a story.
func (s *story) explain() {
	log, err := os.ReadFile(the.log)
	if err != nil {
		s.Log(err)
	}
	for line := range bytes.Lines(log) {
		if bytes.Contains(line, []byte(s.ns)) {
			s.Logf("controller: %s", line)
		}
	}
	for _, e := range s.events() {
		s.Logf("event: %s", e)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Logf("phases: %v, weights: %v", s.phases, s.weights)
}

// events are the Canary's, by time.
func (s *story) events() []string {
	var list corev1.EventList
	if err := the.Client.List(context.Background(), &list, client.InNamespace(s.ns)); err != nil {
		return []string{err.Error()}
	}
	slices.SortStableFunc(list.Items, func(a, b corev1.Event) int { return a.LastTimestamp.Compare(b.LastTimestamp.Time) })
	var said []string
	for _, e := range list.Items {
		if e.InvolvedObject.Kind == flaggerv1.CanaryKind {
			said = append(said, e.Type+" "+e.Reason+" "+e.Message)
		}
	}
	return said
}

// follow notes every phase of the Canary.
func (s *story) follow() {
	s.Helper()
	watch, err := the.Client.Watch(s.Context(), &flaggerv1.CanaryList{}, client.InNamespace(s.ns))
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(watch.Stop)
	go func() {
		for e := range watch.ResultChan() {
			c, ok := e.Object.(*flaggerv1.Canary)
			if !ok || c.Name != s.target {
				continue
			}
			s.mu.Lock()
			if phase := string(c.Status.Phase); phase != "" && (len(s.phases) == 0 || s.phases[len(s.phases)-1] != phase) {
				s.phases = append(s.phases, phase)
			}
			s.mu.Unlock()
		}
	}()
}

// apply applies the documents of a file of testdata. Flagger's names of its load
// tester and of its Prometheus are those of ours.
func (s *story) apply(file string) {
	s.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		s.Fatal(err)
	}
	text := strings.NewReplacer(
		"{ns}", s.ns, "http://flagger-loadtester.test", the.loadtester, "http://prometheus:9090", the.Prometheus,
	).Replace(string(data))
	if err := the.Apply(s.Context(), []byte(text)); err != nil {
		s.Fatal(err)
	}
}

// edit changes the Canary as its owner would.
func (s *story) edit(change func(*flaggerv1.Canary)) {
	s.Helper()
	c := s.canary()
	before := c.DeepCopy()
	change(c)
	if err := the.Client.Patch(s.Context(), c, client.MergeFrom(before)); err != nil {
		s.Fatal(err)
	}
}

// load makes the Canary's load test another one.
func (s *story) load(command string) {
	s.Helper()
	s.edit(func(c *flaggerv1.Canary) {
		for i, w := range c.Spec.Analysis.Webhooks {
			if w.Name == "load-test" {
				c.Spec.Analysis.Webhooks[i].Metadata["cmd"] = command
			}
		}
	})
}

func (s *story) get(name string, object client.Object) {
	s.Helper()
	if err := the.Client.Get(s.Context(), client.ObjectKey{Namespace: s.ns, Name: name}, object); err != nil {
		s.Fatal(err)
	}
}

func (s *story) canary() *flaggerv1.Canary {
	s.Helper()
	c := &flaggerv1.Canary{}
	s.get(s.target, c)
	return c
}

// until waits for a condition.
func (s *story) until(what string, ok func() bool) {
	s.Helper()
	err := wait.PollUntilContextTimeout(s.Context(), pollEvery, harness.Patience, true,
		func(context.Context) (bool, error) { return ok(), nil })
	if err != nil {
		s.Fatalf("%s did not happen within %s", what, harness.Patience)
	}
}

// phase waits for a phase.
func (s *story) phase(want flaggerv1.CanaryPhase) {
	s.Helper()
	s.until("phase "+string(want), func() bool { return s.canary().Status.Phase == want })
}

// begin forgets what was seen so far.
func (s *story) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.phases = nil
	s.weights = nil
}

// initialized waits until the Canary has taken over: the primary serves, users
// call it, and the target is at rest.
func (s *story) initialized() {
	s.Helper()
	s.phase(flaggerv1.CanaryPhaseInitialized)
	apex := &corev1.Service{}
	s.get(s.service, apex)
	for label, value := range apex.Spec.Selector {
		if value != s.target+"-primary" {
			s.Errorf("Service %s selects %s=%s", s.service, label, value)
		}
	}
	for _, annotation := range []string{"kustomize.toolkit.fluxcd.io/reconcile", "helm.toolkit.fluxcd.io/driftDetection"} {
		if apex.Annotations[annotation] != "disabled" {
			s.Errorf("Service %s has no annotation %s", s.service, annotation)
		}
	}
	own := &corev1.Service{}
	s.get(s.service+"-canary", own)
	for label, value := range own.Spec.Selector {
		if value != s.target {
			s.Errorf("Service %s selects %s=%s", own.Name, label, value)
		}
	}
	s.atRest()
}

// atRest waits until the target has no pods.
func (s *story) atRest() {
	s.Helper()
	s.until("the target at rest", func() bool {
		if s.daemonset {
			d := &appsv1.DaemonSet{}
			s.get(s.target, d)
			return d.Status.ObservedGeneration == d.Generation && d.Status.DesiredNumberScheduled == 0
		}
		d := &appsv1.Deployment{}
		s.get(s.target, d)
		return d.Status.ObservedGeneration == d.Generation && d.Status.Replicas == 0
	})
}

// workload is the copy with the name.
func (s *story) workload(name string) (client.Object, *corev1.PodTemplateSpec) {
	s.Helper()
	if s.daemonset {
		d := &appsv1.DaemonSet{}
		s.get(name, d)
		return d, &d.Spec.Template
	}
	d := &appsv1.Deployment{}
	s.get(name, d)
	return d, &d.Spec.Template
}

// image is that of a copy.
func (s *story) image(name string) string {
	s.Helper()
	_, template := s.workload(name)
	return template.Spec.Containers[0].Image
}

// release sets the target's image, as `kubectl set image` does.
func (s *story) release(image string, annotations ...string) {
	s.Helper()
	s.begin()
	target, _ := s.workload(s.target)
	metadata := ""
	for i := 0; i+1 < len(annotations); i += 2 {
		metadata = fmt.Sprintf(`"metadata":{"annotations":{%q:%q}},`, annotations[i], annotations[i+1])
	}
	patch := fmt.Sprintf(`{"spec":{"template":{%s"spec":{"containers":[{"name":"podinfod","image":%q}]}}}}`, metadata, image)
	if err := the.Client.Patch(s.Context(), target, client.RawPatch(types.StrategicMergePatchType, []byte(patch))); err != nil {
		s.Fatal(err)
	}
}

// promotes is a release that goes well. The canary's weights are those of the route
// in their order.
func (s *story) promotes(image string, weights ...int) {
	s.Helper()
	s.release(image)
	s.promoted(image, weights...)
}

func (s *story) promoted(image string, weights ...int) {
	s.Helper()
	s.until("the promotion of "+image, func() bool {
		if s.hasFailed() {
			s.Fatalf("%s failed", image)
		}
		return s.image(s.target+"-primary") == image
	})
	s.phase(flaggerv1.CanaryPhaseSucceeded)
	s.atRest()
	s.saw([]string{"Progressing", "Promoting", "Finalising", "Succeeded"}, append(weights, 0))
}

// rollsBack is a release that does not: users get the image that they had.
func (s *story) rollsBack(image string) {
	s.Helper()
	had := s.image(s.target + "-primary")
	s.release(image)
	s.until("the rollback", s.hasFailed)
	s.atRest()
	if got := s.image(s.target + "-primary"); got != had {
		s.Errorf("the primary runs %s", got)
	}
	if s.route != nil {
		s.until("users on the primary", func() bool { return s.route.canary() == 0 })
	}
	if s.canary().Status.CanaryWeight != 0 {
		s.Errorf("status: %+v", s.canary().Status)
	}
}

// hasFailed reports whether the last release did. Until its analysis begins, the
// phase is that of the one before.
func (s *story) hasFailed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := slices.Index(s.phases, string(flaggerv1.CanaryPhaseProgressing))
	return at >= 0 && slices.Contains(s.phases[at:], string(flaggerv1.CanaryPhaseFailed))
}

// saw compares phases and weights since the release.
func (s *story) saw(phases []string, weights []int) {
	s.Helper()
	s.until("the news", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		begun := max(0, slices.Index(s.phases, phases[0]))
		return slices.Contains(s.phases[begun:], phases[len(phases)-1]) && (s.route == nil || len(s.weights) >= len(weights))
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.phases[max(0, slices.Index(s.phases, phases[0])):] // without the phase before
	if diff := cmp.Diff(phases, seen); diff != "" {
		s.Errorf("phases (-want +got):\n%s", diff)
	}
	if s.route == nil {
		return
	}
	if diff := cmp.Diff(weights, s.weights); diff != "" {
		s.Errorf("weights (-want +got):\n%s", diff)
	}
}

// said requires an event with the text.
func (s *story) said(texts ...string) {
	s.Helper()
	for _, text := range texts {
		s.until("the event "+text, func() bool {
			return slices.ContainsFunc(s.events(), func(e string) bool { return strings.Contains(e, text) })
		})
	}
}

// share is the part of a load's requests that goes to the canary.
func (s *story) share(l *load) float64 {
	switch name, _, _ := strings.Cut(l.host, "."); {
	case name == s.service+"-canary":
		return 1
	case s.route == nil:
		return 0
	default:
		return s.route.share(l.insider)
	}
}

// visit is one request of a load.
func (s *story) visit(canary bool, l *load) visit {
	v := visit{
		namespace: s.ns, service: s.service, target: s.target, ingress: s.ingress, daemonset: s.daemonset,
		canary: canary, status: 200, took: 20 * time.Millisecond,
	}
	if strings.HasSuffix(l.path, "/status/500") {
		v.status = 500
	}
	if strings.HasSuffix(l.path, "/delay/1") {
		v.took = time.Second
	}
	return v
}
