// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

func TestAMistakeIsToldOnceAndAgainIfItIsAnother(t *testing.T) {
	e := newEnv(t, interceptor.Funcs{})
	c, other := podinfo(), podinfo()
	other.UID = "uid-2"
	for _, text := range []string{"a", "a", "b", "b", "a"} {
		e.r.notifier.warnOnce(c, aboutAlerts, errors.New(text))
	}
	e.r.notifier.warnOnce(other, aboutAlerts, errors.New("a"))
	for range 2 { // of two mistakes neither makes the other news
		e.r.notifier.warnOnce(c, aboutAlerts, errors.New("a"))
		e.r.notifier.warnOnce(c, aboutPorts, errors.New("p"))
	}
	if want := []string{"a", "b", "a", "a", "p"}; !slices.Equal(e.events, want) {
		t.Errorf("told %q, want %q", e.events, want)
	}
}

// Of a canary that works it failed the commit and paged somebody, after each restart again.
func TestAMistakeThatKeepsNothingFromWorkingIsAdvice(t *testing.T) {
	e := newEnv(t, interceptor.Funcs{})
	var told []reconciler.Event
	e.r.notifier.events = recorderFunc(func(event reconciler.Event) { told = append(told, event) })
	e.r.notifier.warnOnce(podinfo(), aboutSpec, errors.New("spec.analysis.foo has no effect"))
	e.r.notifier.alertFailed(podinfo(), errors.New("the room answers 404"))
	if len(told) != 2 || !told[0].Advice || !told[1].Advice {
		t.Errorf("told %+v", told)
	}
}

type recorderFunc func(reconciler.Event)

func (f recorderFunc) Event(_ client.Object, e reconciler.Event) { f(e) }

func TestATargetPortThatNoContainerHasIsToldOnceAndByReady(t *testing.T) {
	e := newRelease(t, newPrometheus(t, "100"), func(c *flaggerv1.Canary) { c.Spec.Service.TargetPort = intstr.FromString("htpp") })
	c := &flaggerv1.Canary{}
	e.get("podinfo", c)
	result, err := e.r.Reconcile(t.Context(), c)
	want := `spec.service.targetPort: no container of deployment podinfo.test has a port named "htpp"`
	if err != nil || !strings.Contains(result.Message, want) {
		t.Errorf("Ready says %q, %v", result.Message, err)
	}
	told := slices.DeleteFunc(slices.Clone(e.events), func(text string) bool { return !strings.HasPrefix(text, want) })
	if len(told) != 1 {
		t.Errorf("told %q", e.events)
	}
}

func TestWhatIsSentInTheBackgroundIsToldWhenItFails(t *testing.T) {
	e := newEnv(t, interceptor.Funcs{})
	e.r.notifier.hookCalled(podinfo(), canary.Event{Message: "hook failed", Warning: true})
	e.r.notifier.alertFailed(podinfo(), errors.New("alert failed"))
	e.r.notifier.warnOfContention(podinfo(), []string{"contended"})
	if want := []string{"hook failed", "alert failed", "contended"}; !slices.Equal(e.events, want) {
		t.Errorf("told %q, want %q", e.events, want)
	}
}

// hookServer agrees with every webhook, and notes the phase that it was told.
type hookServer struct {
	*httptest.Server
	mu     sync.Mutex
	phases map[string]string // by path
}

func newHooks(t *testing.T) *hookServer {
	h := &hookServer{phases: map[string]string{}}
	h.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var body struct{ Phase string }
		_ = json.NewDecoder(r.Body).Decode(&body)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.phases[r.URL.Path] = body.Phase
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hookServer) told(path string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.phases[path]
}

func TestWebhooksGateARelease(t *testing.T) {
	hooks := newHooks(t)
	e := newRelease(t, newPrometheus(t, "100"), func(c *flaggerv1.Canary) {
		for _, kind := range []flaggerv1.HookType{flaggerv1.ConfirmRolloutHook, flaggerv1.PreRolloutHook, flaggerv1.RolloutHook} {
			c.Spec.Analysis.Webhooks = append(c.Spec.Analysis.Webhooks,
				flaggerv1.CanaryWebhook{Name: string(kind), Type: kind, URL: hooks.URL + "/" + string(kind)})
		}
	})
	e.push("podinfo:2")
	if _, err := e.phase(flaggerv1.CanaryPhaseSucceeded); err != nil {
		t.Fatal(err)
	}
	for kind, want := range map[flaggerv1.HookType]flaggerv1.CanaryPhase{
		flaggerv1.PreRolloutHook: flaggerv1.CanaryPhaseProgressing, flaggerv1.RolloutHook: flaggerv1.CanaryPhaseProgressing} {
		if got := hooks.told("/" + string(kind)); !strings.EqualFold(got, string(want)) {
			t.Errorf("%s was told %q, want %q", kind, got, want)
		}
	}
	if hooks.told("/"+string(flaggerv1.ConfirmRolloutHook)) == "" {
		t.Error("nobody was asked whether it may begin")
	}
}

func TestWhatPhaseWebhooksAreTold(t *testing.T) {
	c := podinfo()
	c.Status.Phase = flaggerv1.CanaryPhaseWaiting
	for hook, want := range map[flaggerv1.HookType]flaggerv1.CanaryPhase{
		flaggerv1.ConfirmRolloutHook: flaggerv1.CanaryPhaseWaiting, flaggerv1.RollbackHook: flaggerv1.CanaryPhaseWaiting,
		flaggerv1.RolloutHook: flaggerv1.CanaryPhaseProgressing, flaggerv1.PreRolloutHook: flaggerv1.CanaryPhaseProgressing,
	} {
		if got := phaseFor(c, hook); got != want {
			t.Errorf("%s is told %s, want %s", hook, got, want)
		}
	}
}
