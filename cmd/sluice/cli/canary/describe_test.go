// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/follow"
	"github.com/sluice-cd/sluice/report"
	"github.com/sluice-cd/sluice/test/command"
	"github.com/sluice-cd/sluice/test/make"
)

var podinfo = client.ObjectKey{Namespace: "apps", Name: "podinfo"}

// held is a release that a person has halted.
func held() *flaggerv1.Canary {
	c := make.Release(now)
	c.UID = "uid"
	c.Status.Hold = &flaggerv1.CanaryHold{Kind: flaggerv1.HoldHalt, By: "eve", Since: before(time.Minute)}
	c.Spec.Analysis.Webhooks = []flaggerv1.CanaryWebhook{
		{Name: "chat", Type: flaggerv1.EventHook, URL: "http://chat"}, {Name: "smoke", Type: flaggerv1.PreRolloutHook, URL: "http://smoke"},
		{Name: "load", URL: "http://load"},
	}
	failure := flaggerv1.CanaryWebhookAnswer{Since: before(time.Hour), StatusCode: 503, Message: "answered 503 Service Unavailable"}
	c.Status.Webhooks = []flaggerv1.CanaryWebhookStatus{
		{Type: flaggerv1.PreRolloutHook, Name: "smoke", LastFailure: &failure,
			Last: flaggerv1.CanaryWebhookAnswer{Succeeded: true, Since: before(time.Minute)}},
		{Type: flaggerv1.RolloutHook, Name: "load", Last: failure},
	}
	return c
}

func happened(name string, ago time.Duration, message string, count int32) *corev1.Event {
	return &corev1.Event{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: name}, InvolvedObject: corev1.ObjectReference{UID: "uid"},
		Type: "Warning", Reason: "Synced", Message: message, Count: count, LastTimestamp: before(ago)}
}

func TestDescriptionForPeople(t *testing.T) {
	c := command.NewTerminal(t, interceptor.Funcs{}, held(), happened("b", time.Minute, "second", 3), happened("a", time.Hour, "first", 1))
	d := &description{clock: clocktesting.NewFakePassiveClock(now)}
	if err := d.describe(c.Command, c, held()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"apps/podinfo releases Deployment podinfo\n",
		"phase     Progressing for 5m\n", "step      2 of 3\n", "users     40% on the canary, 60% on the primary\n",
		"checks    1 failed of the 3 that roll back\n",
		"apps/podinfo is halted by eve for 60s; checks go on and may roll it back: let it go on with sluice canary approve podinfo -n apps\n",
		"load   rollout      failed          60m  answered 503 Service Unavailable\n",
		"smoke  pre-rollout  passed          60s  last failed 60m ago: answered 503 Service Unavailable\n",
		"chat   event        not called yet\n",
		"Release of podinfo:6.1.0 +1 (revision bbbbbbb), under way for 6m\n",
		"  60m  Warning  first\n  60s  Warning  second (x3)\n",
	} {
		if !strings.Contains(c.Out.String(), want) {
			t.Errorf("%q is not in\n%s", want, c.Out.String())
		}
	}
}

func TestDescriptionForPrograms(t *testing.T) {
	c := command.NewTerminal(t, interceptor.Funcs{}, held(), happened("a", time.Hour, "first", 1))
	d := &description{clock: clocktesting.NewFakePassiveClock(now)}
	flags := &cobra.Command{}
	d.output.Register(flags)
	if err := flags.Flags().Set("output", "json"); err != nil {
		t.Fatal(err)
	}
	if err := d.describe(c.Command, c, held()); err != nil {
		t.Fatal(err)
	}
	var got report.CanaryDescription
	if err := json.Unmarshal(c.Out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Name != "podinfo" || got.Hold == nil || got.Hold.By != "eve" ||
		len(got.Releases) != 1 || got.Good["queue"] != "1.00 to 5.00" || len(got.Properties) == 0 {
		t.Errorf("%+v", got)
	}
	want := []report.Event{{Time: now.Add(-time.Hour), Type: "Warning", Reason: "Synced", Message: "first", Count: 1}}
	if diff := cmp.Diff(want, got.Events); diff != "" {
		t.Error(diff)
	}
	conditions := []report.Condition{{Type: "Ready", Status: "Unknown", Reason: "Progressing", Message: "step 2 of 3"}}
	if diff := cmp.Diff(conditions, got.Conditions); diff != "" {
		t.Error(diff)
	}
}

func TestADescriptionWithoutEventsIsOneAllTheSame(t *testing.T) {
	forbidden := func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error {
		return errors.New("events are forbidden")
	}
	c := command.NewTerminal(t, interceptor.Funcs{List: forbidden}, held())
	d := &description{clock: clocktesting.NewFakePassiveClock(now)}
	if err := d.describe(c.Command, c, held()); err != nil || !strings.Contains(c.Out.String(), "halted by eve") {
		t.Errorf("%v, %s", err, c.Out.String())
	}
	if !strings.Contains(c.Errors.String(), "events are forbidden") {
		t.Errorf("said %q", c.Errors.String())
	}
}

func TestACommandIsGivenInTheNameOfWhoGivesIt(t *testing.T) {
	c := command.NewTerminal(t, command.As("bob\x1b[2J"), held())
	v := &commandOptions{clock: clocktesting.NewFakePassiveClock(now), name: flaggerv1.CommandApprove}
	target := &flaggerv1.Canary{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "podinfo"}}
	given, err := v.sendCommand(t.Context(), c, target)
	if err != nil {
		t.Fatal(err)
	}
	var written flaggerv1.Canary
	if err := c.Get(t.Context(), podinfo, &written); err != nil {
		t.Fatal(err)
	}
	want := "approve 2026-01-02T12:00:00.000000Z bob [2J"
	if got := written.Annotations[flaggerv1.CommandAnnotation]; got != want || given.String() != want {
		t.Errorf("%q is written, %q given", got, given)
	}
}

func TestACommandThatWouldChangeNothingIsNotWritten(t *testing.T) {
	c := command.NewTerminal(t, command.As("bob"), held())
	v := &commandOptions{clock: clocktesting.NewFakePassiveClock(now), name: flaggerv1.CommandHalt}
	target := &flaggerv1.Canary{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "podinfo"}}
	_, err := v.sendCommand(t.Context(), c, target)
	if err == nil || !strings.Contains(err.Error(), "is halted already by eve for 60s") {
		t.Errorf("got %v", err)
	}
	var written flaggerv1.Canary
	if err := c.Get(t.Context(), podinfo, &written); err != nil || len(written.Annotations) > 0 {
		t.Errorf("annotations %v, %v", written.Annotations, err)
	}
}

func TestOneLineForEachTransition(t *testing.T) {
	var out bytes.Buffer
	w := &watch{last: map[client.ObjectKey]report.Canary{}, endings: map[client.ObjectKey]*releaseEnd{}, untilDone: true,
		view: &lines{out: &out, clock: clocktesting.NewFakePassiveClock(now)}}
	c := make.Release(now)
	for range 2 { // the second time nothing is new
		if err := w.onChange(c); err != nil {
			t.Fatal(err)
		}
	}
	c.Status.Phase, c.Status.CanaryWeight, c.Status.FailedChecks = flaggerv1.CanaryPhaseSucceeded, 0, 0
	c.Status.LastPromotedSpec = c.Status.LastAppliedSpec
	if err := w.onChange(c); !errors.Is(err, follow.ErrDone) {
		t.Errorf("ends with %v", err)
	}
	want := "12:00:00  apps/podinfo  Progressing  weight 40  step 2/3  failed 1/3  podinfo:6.1.0 +1  success rate 62.50% < 99%\n" +
		"12:00:00  apps/podinfo  Succeeded  weight 0  failed 0/3  podinfo:6.1.0 +1  step 2 of 3\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
	if w.forget(podinfo); len(w.last) > 0 {
		t.Errorf("what is gone is remembered: %v", w.last)
	}
}

func TestWhatHoldsARelease(t *testing.T) {
	gate := func(by string, approved bool) func(*flaggerv1.Canary) {
		return func(c *flaggerv1.Canary) {
			c.Status.Hold = &flaggerv1.CanaryHold{
				Kind: flaggerv1.HoldGate, Gate: flaggerv1.ConfirmPromotionHook, By: by, Since: before(time.Minute), Approved: approved,
			}
		}
	}
	inconclusive := func(approved bool) func(*flaggerv1.Canary) {
		return func(c *flaggerv1.Canary) {
			c.Status.Hold = &flaggerv1.CanaryHold{Kind: flaggerv1.HoldInconclusive, By: "the judge", Since: before(time.Minute), Approved: approved}
		}
	}
	const open = ": open it with sluice canary approve podinfo -n apps"
	tests := map[string]struct {
		change func(*flaggerv1.Canary)
		want   string
	}{
		"nothing":                 {func(*flaggerv1.Canary) {}, ""},
		"spec.suspend":            {func(c *flaggerv1.Canary) { c.Spec.Suspend = true }, "is suspended"},
		"a gate of a webhook":     {gate("gate", false), "waits at the gate confirm-promotion, closed by the webhook gate for 60s" + open},
		"a gate of an annotation": {gate("annotation sluice.dev/gates", false), "closed by the annotation sluice.dev/gates for 60s" + open},
		"a gate of nobody":        {gate("", false), "closed for 60s" + open},
		"a gate that was opened":  {gate("gate", true), "was let through the gate confirm-promotion"},
		"a person's pause": {func(c *flaggerv1.Canary) {
			c.Status.Hold = &flaggerv1.CanaryHold{Kind: flaggerv1.HoldPause, By: "eve", Since: before(time.Minute)}
		}, "is paused by eve for 60s"},
		"a judge that is inconclusive": {
			inconclusive(false), "has waited for 60s because the judge is inconclusive: let it go on without a verdict " +
				"with sluice canary approve podinfo -n apps, or end it with sluice canary abort podinfo -n apps",
		},
		"a judge that a person did without": {inconclusive(true), "was let go on without a verdict of the judge"},
		"an approval that is needed":        {func(c *flaggerv1.Canary) { c.Status.Phase = flaggerv1.CanaryPhaseWaiting }, "waits for approval"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := hint(report.OfCanary(make.Release(now, tc.change)), "sluice", now)
			if (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}
