// SPDX-License-Identifier: Apache-2.0

package hook_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/canary/hook"
	builder "github.com/sluice-cd/sluice/test/make"
)

// receiver remembers what it was sent. It answers with the status and the text
// that the path says: /403/no.
type receiver struct {
	*httptest.Server
	mu   sync.Mutex
	got  []request
	news chan struct{}
}

type request struct {
	Path string
	Body map[string]any
}

func receive(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{news: make(chan struct{}, 100)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		var body map[string]any
		if err := json.NewDecoder(req.Body).Decode(&body); err != nil || req.Method != http.MethodPost {
			t.Errorf("%s with %v", req.Method, err)
		}
		r.mu.Lock()
		r.got = append(r.got, request{req.URL.Path, body})
		r.mu.Unlock()
		status, says, _ := strings.Cut(strings.Trim(req.URL.Path, "/"), "/")
		w.WriteHeader(map[string]int{"200": 200, "202": 202, "204": 204, "403": 403, "500": 500}[status])
		if status != "204" {
			_, _ = w.Write([]byte(says))
		}
		r.news <- struct{}{}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) paths() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for _, got := range r.got {
		all = append(all, got.Path)
	}
	return all
}

var now = time.UnixMilli(1700000000123)

func caller(t *testing.T, opts hook.Options) *hook.Caller {
	t.Helper()
	opts.Clock = clocktesting.NewFakeClock(now)
	if opts.Log.GetSink() == nil {
		opts.Log = logr.Discard()
	}
	k, err := hook.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func podinfo(hooks ...flaggerv1.CanaryWebhook) *flaggerv1.Canary {
	return builder.Canary("default", "podinfo", func(c *flaggerv1.Canary) {
		c.UID, c.Spec.Analysis.Webhooks = "1", hooks
		c.Status = flaggerv1.CanaryStatus{
			Phase:           flaggerv1.CanaryPhaseProgressing,
			TrackedConfigs:  map[string]string{"test-config-map": "484637c76acaa7c6"},
			LastAppliedSpec: "4cb74184589",
		}
	})
}

func TestCall(t *testing.T) {
	r := receive(t)
	type hooks = []flaggerv1.CanaryWebhook
	gate := func(name, path string) flaggerv1.CanaryWebhook {
		return flaggerv1.CanaryWebhook{Name: name, Type: flaggerv1.ConfirmRolloutHook, URL: r.URL + path}
	}
	rollback := func(name, path string) flaggerv1.CanaryWebhook {
		return flaggerv1.CanaryWebhook{Name: name, Type: flaggerv1.RollbackHook, URL: r.URL + path}
	}
	said := func(all ...canary.WebhookAnswer) []canary.WebhookAnswer { return all }
	agrees := func(name string) canary.WebhookAnswer { return canary.WebhookAnswer{Name: name, Agreed: true} }
	refuses := func(name string, status int, why string) canary.WebhookAnswer {
		return canary.WebhookAnswer{Name: name, Status: status, Why: why}
	}
	cases := map[string]struct {
		hooks hooks
		ask   flaggerv1.HookType
		want  canary.Answer
		asked []string
	}{
		"without webhooks all agree": {ask: flaggerv1.ConfirmRolloutHook, want: canary.Answer{OK: true}},
		"other types are not called": {
			hooks: hooks{gate("a", "/403/no")},
			ask:   flaggerv1.RolloutHook,
			want:  canary.Answer{OK: true},
		},
		"all are called": {
			hooks: hooks{gate("a", "/200"), gate("b", "/202")},
			ask:   flaggerv1.ConfirmRolloutHook,
			want:  canary.Answer{OK: true, Webhook: "b", Said: said(agrees("a"), agrees("b"))},
			asked: []string{"/200", "/202"},
		},
		"the first refusal ends it": {
			hooks: hooks{gate("a", "/403/Forbidden"), gate("b", "/200")},
			ask:   flaggerv1.ConfirmRolloutHook,
			want:  canary.Answer{Webhook: "a", Why: "answered 403 Forbidden", Said: said(refuses("a", 403, "answered 403 Forbidden"))},
			asked: []string{"/403/Forbidden"},
		},
		"no content is a refusal": {
			hooks: hooks{gate("a", "/204")},
			ask:   flaggerv1.ConfirmRolloutHook,
			want:  canary.Answer{Webhook: "a", Why: "answered 204 No Content", Said: said(refuses("a", 204, "answered 204 No Content"))},
			asked: []string{"/204"},
		},
		"no type is rollout": {
			hooks: hooks{{Name: "a", URL: r.URL + "/200"}},
			ask:   flaggerv1.RolloutHook,
			want:  canary.Answer{OK: true, Webhook: "a", Said: said(agrees("a"))},
			asked: []string{"/200"},
		},
		"one rollback is enough": {
			hooks: hooks{rollback("a", "/403"), rollback("b", "/200"), rollback("c", "/403")},
			ask:   flaggerv1.RollbackHook,
			want:  canary.Answer{OK: true, Webhook: "b", Said: said(refuses("a", 403, "answered 403 Forbidden"), agrees("b"))},
			asked: []string{"/403", "/200"},
		},
		"no rollback is asked for": {
			hooks: hooks{rollback("a", "/403/no")},
			ask:   flaggerv1.RollbackHook,
			want:  canary.Answer{Webhook: "a", Why: "answered 403 Forbidden", Said: said(refuses("a", 403, "answered 403 Forbidden"))},
			asked: []string{"/403/no"},
		},
		"its owner wants no alert": {
			hooks: hooks{{Name: "a", URL: r.URL + "/403/no", MuteAlert: true}},
			ask:   flaggerv1.RolloutHook,
			want: canary.Answer{Webhook: "a", Why: "answered 403 Forbidden", Muted: true,
				Said: said(refuses("a", 403, "answered 403 Forbidden"))},
			asked: []string{"/403/no"},
		},
		"a URL that is none": {
			hooks: hooks{{Name: "a", URL: "load tester"}},
			ask:   flaggerv1.RolloutHook,
			want: canary.Answer{Webhook: "a", Why: "url: it is no URL such as https://host/path",
				Said: said(refuses("a", 0, "url: it is no URL such as https://host/path"))},
		},
		"a timeout that is none": {
			hooks: hooks{{Name: "a", URL: r.URL, Timeout: "10sx"}},
			ask:   flaggerv1.RolloutHook,
			want: canary.Answer{Webhook: "a", Why: `timeout: "10sx" is not a duration of up to 6h`,
				Said: said(refuses("a", 0, `timeout: "10sx" is not a duration of up to 6h`))},
		},
		"a letter is the default": {
			hooks: hooks{{Name: "a", URL: r.URL + "/200", Timeout: "s"}},
			ask:   flaggerv1.RolloutHook,
			want:  canary.Answer{OK: true, Webhook: "a", Said: said(agrees("a"))},
			asked: []string{"/200"},
		},
		"a timeout without an end": {
			hooks: hooks{{Name: "a", URL: r.URL, Timeout: "999h"}},
			ask:   flaggerv1.RolloutHook,
			want: canary.Answer{Webhook: "a", Why: `timeout: "999h" is not a duration of up to 6h`,
				Said: said(refuses("a", 0, `timeout: "999h" is not a duration of up to 6h`))},
		},
		"retries without an end": {
			hooks: hooks{{Name: "a", URL: r.URL, Retries: 1e9}},
			ask:   flaggerv1.RolloutHook,
			want:  canary.Answer{Webhook: "a", Why: "retries: at most 1000", Said: said(refuses("a", 0, "retries: at most 1000"))},
		},
		"what a server says is not quoted that may be anybody's": {
			hooks: hooks{{Name: "a", URL: r.URL + "/500/token=abcdef"}},
			ask:   flaggerv1.RolloutHook,
			want: canary.Answer{Webhook: "a", Why: "answered 500 Internal Server Error",
				Said: said(refuses("a", 500, "answered 500 Internal Server Error"))},
			asked: []string{"/500/token=abcdef"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r.got = nil
			for i := range tc.want.Said {
				tc.want.Said[i].Type = tc.ask
			}
			got := caller(t, hook.Options{}).Call(t.Context(), podinfo(tc.hooks...), tc.ask, flaggerv1.CanaryPhaseProgressing)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tc.asked, r.paths()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNoRollbackHookIsNoRollback(t *testing.T) {
	if caller(t, hook.Options{}).Call(t.Context(), podinfo(), flaggerv1.RollbackHook, "").OK {
		t.Error("nobody asked for a rollback, and it is granted")
	}
}

func TestPayload(t *testing.T) {
	r := receive(t)
	c := podinfo(flaggerv1.CanaryWebhook{Name: "a", URL: r.URL + "/200", Metadata: map[string]string{"key1": "val1"}})
	caller(t, hook.Options{}).Call(t.Context(), c, flaggerv1.RolloutHook, flaggerv1.CanaryPhaseProgressing)
	want := []request{{"/200", map[string]any{
		"name": "podinfo", "namespace": "default", "phase": "Progressing", "checksum": "569bdb7cb9",
		"metadata": map[string]any{"key1": "val1"},
	}}}
	if diff := cmp.Diff(want, r.got); diff != "" {
		t.Error(diff)
	}
}

func TestNotifyTellsWhatBecameOfIt(t *testing.T) {
	r := receive(t)
	told, answers := make(chan canary.Event, 10), make(chan canary.WebhookAnswer, 10)
	k := caller(t, hook.Options{
		Notified: func(_ *flaggerv1.Canary, e canary.Event) { told <- e },
		Answered: func(_ types.NamespacedName, _ types.UID, said canary.WebhookAnswer) { answers <- said },
	})
	c := podinfo(
		flaggerv1.CanaryWebhook{Name: "a", Type: flaggerv1.PostRolloutHook, URL: r.URL + "/200"},
		flaggerv1.CanaryWebhook{Name: "b", Type: flaggerv1.PostRolloutHook, URL: r.URL + "/403/no room"},
		flaggerv1.CanaryWebhook{Name: "c", Type: flaggerv1.PostRolloutHook, URL: r.URL + "/200"},
	)
	k.Notify(c, flaggerv1.PostRolloutHook, flaggerv1.CanaryPhaseSucceeded)
	k.Notify(c, flaggerv1.RollbackHook, flaggerv1.CanaryPhaseSucceeded) // there is none
	run(t, k)
	for _, want := range []canary.Event{
		{Message: "Post-rollout check a passed"},
		{Message: "Post-rollout hook b failed answered 403 Forbidden", Warning: true},
	} {
		if diff := cmp.Diff(want, <-told); diff != "" {
			t.Error(diff)
		}
	}
	for _, want := range []canary.WebhookAnswer{
		{Type: flaggerv1.PostRolloutHook, Name: "a", Agreed: true},
		{Type: flaggerv1.PostRolloutHook, Name: "b", Status: 403, Why: "answered 403 Forbidden"},
	} {
		if diff := cmp.Diff(want, <-answers); diff != "" {
			t.Error(diff)
		}
	}
	if diff := cmp.Diff([]string{"/200", "/403/no room"}, r.paths()); diff != "" {
		t.Error(diff)
	}
	if got := r.got[0].Body["phase"]; got != "Succeeded" {
		t.Errorf("the phase is %v", got)
	}
}

// run has everything delivered that was put so far.
func run(t *testing.T, k *hook.Caller) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := k.Start(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestEvent(t *testing.T) {
	r := receive(t)
	c := podinfo(
		flaggerv1.CanaryWebhook{Name: "a", Type: flaggerv1.EventHook, URL: r.URL + "/200/own", Metadata: map[string]string{
			"key1": "val1", "eventType": "mine",
		}},
		flaggerv1.CanaryWebhook{Name: "rollout", URL: r.URL + "/200/check"},
	)
	k := caller(t, hook.Options{EventWebhook: r.URL + "/200/global"})
	k.Event(c, canary.Event{Message: "one"})
	k.Event(c, canary.Event{Message: "two", Warning: true})
	c.Status.Phase = flaggerv1.CanaryPhaseFailed // later than the events
	run(t, k)
	event := func(message, kind string) request {
		return request{"/200/own", map[string]any{
			"name": "podinfo", "namespace": "default", "phase": "Progressing", "checksum": "569bdb7cb9",
			"metadata": map[string]any{"eventMessage": message, "eventType": kind, "timestamp": "1700000000123", "key1": "val1"},
		}}
	}
	if diff := cmp.Diff([]request{event("one", "Normal"), event("two", "Warning")}, r.got); diff != "" {
		t.Error(diff)
	}
}

func TestEventsWithoutAHookGoToTheGlobalOne(t *testing.T) {
	r := receive(t)
	k := caller(t, hook.Options{EventWebhook: r.URL + "/200/global", Answered: func(types.NamespacedName, types.UID, canary.WebhookAnswer) {
		t.Error("what the operator's webhook answered is told to the status of a canary")
	}})
	k.Event(podinfo(), canary.Event{Message: "one"})
	k.Event(&flaggerv1.Canary{}, canary.Event{Message: "two"})
	run(t, k)
	if diff := cmp.Diff([]string{"/200/global", "/200/global"}, r.paths()); diff != "" {
		t.Error(diff)
	}
	caller(t, hook.Options{}).Event(podinfo(), canary.Event{Message: "to nobody"})
}

func TestEventsThatDoNotFitAreLogged(t *testing.T) {
	var lines []string
	log := funcr.New(func(_, args string) { lines = append(lines, args) }, funcr.Options{})
	k := caller(t, hook.Options{EventWebhook: "http://127.0.0.1:1", Log: log})
	for range 65 {
		k.Event(podinfo(), canary.Event{})
	}
	if len(lines) != 1 || !strings.Contains(lines[0], "dropped a message") {
		t.Errorf("log: %q", lines)
	}
}

func TestEventsThatFailAreLogged(t *testing.T) {
	r := receive(t)
	var lines []string
	log := funcr.New(func(_, args string) { lines = append(lines, args) }, funcr.Options{})
	answers := map[string]canary.WebhookAnswer{}
	k := caller(t, hook.Options{Log: log, Answered: func(of types.NamespacedName, uid types.UID, said canary.WebhookAnswer) {
		answers[fmt.Sprint(of, " ", uid, " ", said.Name)] = said
	}})
	k.Event(podinfo(
		flaggerv1.CanaryWebhook{Name: "a", Type: flaggerv1.EventHook, URL: "http://user:secret@"},
		flaggerv1.CanaryWebhook{Name: "b", Type: flaggerv1.EventHook, URL: strings.Replace(r.URL, "//", "//user:secret@", 1) + "/403/never"},
	), canary.Event{})
	run(t, k)
	all := strings.Join(lines, "\n")
	if len(lines) != 2 || strings.Contains(all, "secret") || !strings.Contains(all, "answered 403") {
		t.Errorf("log: %s", all)
	}
	want := map[string]canary.WebhookAnswer{
		"default/podinfo 1 a": {Type: flaggerv1.EventHook, Name: "a", Why: "url: it is no URL such as https://host/path"},
		"default/podinfo 1 b": {Type: flaggerv1.EventHook, Name: "b", Status: 403, Why: "answered 403 Forbidden"},
	}
	if diff := cmp.Diff(want, answers); diff != "" {
		t.Error(diff)
	}
}

func TestAnswersTellWebhooksOfOneNameApart(t *testing.T) {
	r := receive(t)
	k := caller(t, hook.Options{})
	gate := func(name, path string) flaggerv1.CanaryWebhook {
		return flaggerv1.CanaryWebhook{Name: name, Type: flaggerv1.ConfirmRolloutHook, URL: r.URL + path}
	}
	c := podinfo(gate("gate", "/200"), gate("other", "/200"), gate("gate", "/200"))
	got := k.Call(t.Context(), c, flaggerv1.ConfirmRolloutHook, flaggerv1.CanaryPhaseProgressing).Said
	if len(got) != 3 || got[0].Nth != 0 || got[1].Nth != 0 || got[2].Nth != 1 {
		t.Errorf("they said %+v", got)
	}
}

func TestTheGlobalWebhookMustBeAURL(t *testing.T) {
	_, err := hook.New(hook.Options{EventWebhook: "user:secret"})
	if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "event-webhook") {
		t.Errorf("error: %v", err)
	}
}
