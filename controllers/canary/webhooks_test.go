// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
)

func TestTheStatusSaysWhatAWebhookAnswered(t *testing.T) {
	var broken atomic.Bool
	broken.Store(true)
	load := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if broken.Load() {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	t.Cleanup(load.Close)
	e := newRelease(t, newPrometheus(t, "100"), func(c *flaggerv1.Canary) {
		c.Spec.Analysis.Webhooks = []flaggerv1.CanaryWebhook{{Name: "load", URL: load.URL + "/?token=hunter2"}}
	})
	e.push("podinfo:2")
	c, err := e.phase(flaggerv1.CanaryPhaseFailed)
	if err == nil {
		t.Fatal("a release succeeds whose external check fails")
	}
	if len(c.Status.Webhooks) != 1 {
		t.Fatalf("webhooks %+v", c.Status.Webhooks)
	}
	failure := c.Status.Webhooks[0].Last
	if failure.Succeeded || failure.StatusCode != http.StatusForbidden ||
		failure.Message != "answered 403 Forbidden" || failure.Since.IsZero() {
		t.Errorf("the failure is recorded as %+v", failure)
	}

	broken.Store(false)
	e.push("podinfo:3")
	if c, err = e.phase(flaggerv1.CanaryPhaseSucceeded); err != nil {
		t.Fatal(err)
	}
	after := c.Status.Webhooks[0]
	if !after.Last.Succeeded || !after.Last.Since.After(failure.Since.Time) {
		t.Errorf("the success is recorded as %+v", after.Last)
	}
	if diff := cmp.Diff(&failure, after.LastFailure); diff != "" {
		t.Error("the last failure is not kept:", diff)
	}
}

func TestAnAnswerThatNobodyWaitedForIsRecordedWhenItIsNews(t *testing.T) {
	c := podinfo()
	chat := flaggerv1.CanaryWebhook{Name: "chat", Type: flaggerv1.EventHook, URL: "http://chat"}
	c.Spec.Analysis = &flaggerv1.CanaryAnalysis{Webhooks: []flaggerv1.CanaryWebhook{chat}}
	of, now := client.ObjectKeyFromObject(c), time.Unix(1767355200, 0)
	var woken []types.NamespacedName
	answers := &webhookAnswers{wake: func(of types.NamespacedName) { woken = append(woken, of) }}
	recorder := &statusRecorder{clock: clocktesting.NewFakePassiveClock(now), webhooks: answers}
	record := func() { recorder.recordWebhooks(c, &observed{}) }
	fails := canary.WebhookAnswer{Type: flaggerv1.EventHook, Name: "chat", Why: "no answer in time"}
	works := canary.WebhookAnswer{Type: flaggerv1.EventHook, Name: "chat", Agreed: true}
	note := func(said canary.WebhookAnswer, wakes bool) {
		t.Helper()
		before := len(woken)
		answers.note(of, c.UID, said)
		if wakes != (len(woken) > before) {
			t.Errorf("after %+v woken %v, want a wake-up: %v", said, woken[before:], wakes)
		}
	}

	note(fails, false) // of a canary that was not reconciled yet
	record()
	note(fails, true)
	record()
	want := []flaggerv1.CanaryWebhookStatus{{Type: flaggerv1.EventHook, Name: "chat", Last: flaggerv1.CanaryWebhookAnswer{
		Since: metav1.NewTime(now), Message: fails.Why}}}
	if diff := cmp.Diff(want, c.Status.Webhooks); diff != "" {
		t.Error(diff)
	}
	note(fails, false)
	note(works, true)
	record()
	if !c.Status.Webhooks[0].Last.Succeeded || c.Status.Webhooks[0].LastFailure == nil {
		t.Errorf("recorded %+v", c.Status.Webhooks)
	}

	c.Spec.Analysis.Webhooks = nil
	record()
	if len(c.Status.Webhooks) > 0 || len(answers.answers[c.UID]) > 0 {
		t.Errorf("kept of a webhook that is gone: %+v, %+v", c.Status.Webhooks, answers.answers)
	}
	answers.forget(c.UID)
	note(fails, false)
	if len(answers.answers) > 0 {
		t.Errorf("kept of a canary that is gone: %+v", answers.answers)
	}
}

// Two webhooks of one type and name shared an answer: if they did not agree, each message to them was news twice, and
// the status was written as often.
func TestWebhooksOfOneNameThatDoNotAgreeAreNoNews(t *testing.T) {
	c, now := podinfo(), time.Unix(1767355200, 0)
	chat := flaggerv1.CanaryWebhook{Name: "chat", Type: flaggerv1.EventHook, URL: "http://chat"}
	c.Spec.Analysis = &flaggerv1.CanaryAnalysis{Webhooks: []flaggerv1.CanaryWebhook{chat, chat}}
	woken := 0
	answers := &webhookAnswers{wake: func(types.NamespacedName) { woken++ }}
	answers.of(c)
	clock := clocktesting.NewFakePassiveClock(now)
	recorder := &statusRecorder{clock: clock, webhooks: answers}
	for range 3 {
		for _, said := range []canary.WebhookAnswer{
			{Type: flaggerv1.EventHook, Name: "chat", Why: "no answer in time"},
			{Type: flaggerv1.EventHook, Name: "chat", Nth: 1, Agreed: true},
		} {
			answers.note(client.ObjectKeyFromObject(c), c.UID, said)
		}
		recorder.recordWebhooks(c, &observed{})
		clock.SetTime(clock.Now().Add(time.Minute))
	}
	if woken != 2 {
		t.Errorf("woken %d times", woken)
	}
	want := []flaggerv1.CanaryWebhookStatus{{Type: flaggerv1.EventHook, Name: "chat", Last: flaggerv1.CanaryWebhookAnswer{
		Since: metav1.NewTime(now), Message: "no answer in time"}}}
	if diff := cmp.Diff(want, c.Status.Webhooks); diff != "" {
		t.Error(diff)
	}

	c.Spec.Analysis.Webhooks = c.Spec.Analysis.Webhooks[1:]
	if left := answers.of(c); len(left) != 1 || left[0].Nth != 0 {
		t.Errorf("kept of a webhook that is gone: %+v", left)
	}
}
