// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/report"
	"github.com/sluice-cd/sluice/test/command"
	"github.com/sluice-cd/sluice/test/golden"
	"github.com/sluice-cd/sluice/test/make"
)

var (
	now  = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	shop = client.ObjectKey{Namespace: "apps", Name: "shop"}
)

func ago(d time.Duration) metav1.Time { return metav1.NewTime(now.Add(-d)) }

// eventful is a pipeline of which there is something to say everywhere.
func eventful(p *sluicev1.Pipeline) {
	p.UID = "uid"
	two, until := make.Bundle("2").ID, ago(-time.Hour)
	staging, production := &p.Status.Stages[0], &p.Status.Stages[1]
	staging.Hold = &sluicev1.Consent{By: "eve", At: ago(time.Minute), Reason: "an incident", Until: &until}
	production.Waiting = append(production.Waiting, sluicev1.Gate{
		Type: sluicev1.GateWindow, Message: "window nights opens at 22:00", Since: &metav1.Time{Time: now.Add(-time.Hour)}, Until: &until,
	})
	production.PullRequest = &sluicev1.PullRequestStatus{
		Number: 7, State: "open", URL: "https://forge/acme/fleet/pulls/7", Bundle: two, Frozen: "it is approved",
	}
	production.Approvals = []sluicev1.Consent{
		{Bundle: two, By: "alice", At: ago(2 * time.Minute), Reason: "tested"},
		{Bundle: "another", By: "bob"},
	}
	production.Commands = []sluicev1.CommandStatus{
		{Verb: sluicev1.CommandHold, At: ago(time.Hour), Outcome: sluicev1.CommandDone},
		{Verb: sluicev1.CommandPromote, At: ago(time.Hour), Outcome: sluicev1.CommandRefused, Message: "bundle 1234 is not known"},
	}
	production.Targets = []sluicev1.TargetStatus{{Name: "eu", Ready: metav1.ConditionTrue, Message: "Canary shop succeeded"}}
	p.Annotations = map[string]string{"override.sluice.dev/production": sluicev1.Command{By: "carol", At: ago(time.Second)}.String()}
	p.Status.Quarantined = []sluicev1.Quarantine{
		{Bundle: make.Bundle("0"), Stage: "production", Reason: "Canary shop failed", At: ago(48 * time.Hour)},
	}
	p.Spec.Stages[1].After.Soak = &metav1.Duration{Duration: time.Hour}
}

func TestTextsForPeople(t *testing.T) {
	event := &corev1.Event{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "a"}, InvolvedObject: corev1.ObjectReference{UID: "uid"},
		Type: "Normal", Reason: "Landed", Message: "staging has api 2, web 2", Count: 1, LastTimestamp: ago(10 * time.Minute)}
	fresh := func(p *sluicev1.Pipeline) { p.Status = sluicev1.PipelineStatus{} }
	refused := func(p *sluicev1.Pipeline) {
		p.Spec.Suspend = true
		p.Status.Conditions = []metav1.Condition{
			{Type: "Ready", Status: "False", Reason: "InvalidSpec", Message: "spec.stages: a mistake"},
			{Type: sluicev1.ApprovalsEnforcedCondition, Status: "False", Message: "commands in annotations are ignored"},
			{Type: sluicev1.WarningCondition, Status: "True",
				Message: "spec.stages[staging].ready: one\nspec.stages[production].ready: two"},
		}
	}
	takenBack := func(p *sluicev1.Pipeline) {
		two := make.Bundle("2")
		p.Status.Quarantined = []sluicev1.Quarantine{{Bundle: two, Stage: "production", Reason: "Canary shop failed", At: ago(7 * time.Minute)}}
		production := &p.Status.Stages[1]
		production.Waiting, production.Wants, production.Phase, production.Message = nil, nil, sluicev1.StageVerified, "api 1, web 1 is verified"
	}
	tests := map[string]struct {
		change     func(*sluicev1.Pipeline)
		stagesOnly bool
		golden     string
	}{
		"after the newest was taken back": {takenBack, true, "explain-quarantine.txt"},
		"described":                       {eventful, false, "describe.txt"},
		"explained":                       {eventful, true, "explain.txt"},
		"not looked at yet":               {fresh, false, "describe-fresh.txt"},
		"which is held up":                {refused, true, "explain-refused.txt"},
		"which waits simply":              {func(*sluicev1.Pipeline) {}, true, "explain-waiting.txt"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			p := make.Pipeline(now, tc.change)
			c := command.NewTerminal(t, interceptor.Funcs{}, p, event)
			d := &description{clock: clocktesting.NewFakePassiveClock(now), stagesOnly: tc.stagesOnly}
			if err := d.describe(c.Command, c, p); err != nil {
				t.Fatal(err)
			}
			golden.Compare(t, "testdata/"+tc.golden, c.Out.String())
		})
	}
}

func TestDescriptionsForPrograms(t *testing.T) {
	p := make.Pipeline(now, eventful)
	c := command.NewTerminal(t, interceptor.Funcs{}, p)
	for _, stagesOnly := range []bool{false, true} {
		c.Out.Reset()
		d := &description{clock: clocktesting.NewFakePassiveClock(now), stagesOnly: stagesOnly}
		flags := &cobra.Command{}
		d.output.Register(flags)
		if err := flags.Flags().Set("output", "json"); err != nil {
			t.Fatal(err)
		}
		if err := d.describe(c.Command, c, p); err != nil {
			t.Fatal(err)
		}
		var got report.PipelineDescription
		if err := json.Unmarshal(c.Out.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if got.Name != "shop" || len(got.Stages) != 2 || (got.Matrix == nil) != stagesOnly {
			t.Fatalf("%+v", got)
		}
		if production := got.Stages[1]; production.Hold != nil || len(production.Remedies) != 2 {
			t.Errorf("%+v", got)
		}
	}
}

func TestOneLineForEachTransitionOfAStage(t *testing.T) {
	var out bytes.Buffer
	w := &watch{clock: clocktesting.NewFakePassiveClock(now), out: &out, last: map[string]report.PipelineStage{}}
	p := make.Pipeline(now)
	for range 2 { // the second time nothing is new
		if err := w.onChange(p); err != nil {
			t.Fatal(err)
		}
	}
	p.Status.Stages[1].Phase, p.Status.Stages[1].Message = sluicev1.StageWriting, "writing api 2\x1b[2J"
	if err := w.onChange(p); err != nil {
		t.Fatal(err)
	}
	want := "12:00:00  apps/shop  staging  Verified  api 2, web 2 is verified\n" +
		"12:00:00  apps/shop  production  Waiting  api 2, web 2: 0 of 1 approvals\n" +
		"12:00:00  apps/shop  production  Writing  writing api 2 [2J\n"
	if got := out.String(); got != want {
		t.Errorf("got\n%s", got)
	}
}
