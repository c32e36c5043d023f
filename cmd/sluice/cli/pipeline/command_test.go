// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/report"
	"github.com/sluice-cd/sluice/test/command"
	"github.com/sluice-cd/sluice/test/make"
)

// giving is a giver of a verb at noon that waits for nothing.
func giving(t *testing.T, name string, changes ...func(*stageCommand)) *stageCommand {
	t.Helper()
	for _, v := range verbs {
		if v.name == name {
			g := &stageCommand{verb: v, clock: clocktesting.NewFakePassiveClock(now), timeout: 10 * time.Second}
			for _, change := range changes {
				change(g)
			}
			return g
		}
	}
	t.Fatalf("no verb %s", name)
	return nil
}

func read(t *testing.T, c client.Client) *sluicev1.Pipeline {
	t.Helper()
	var p sluicev1.Pipeline
	if err := c.Get(t.Context(), shop, &p); err != nil {
		t.Fatal(err)
	}
	return &p
}

func TestWhatIsWrittenForACommand(t *testing.T) {
	one, two := make.Bundle("1"), make.Bundle("2")
	const begin = `{"by":"bob <b@x>","at":"2026-01-02T12:00:00Z"`
	escaped := strings.NewReplacer("<", `\u003c`, ">", `\u003e`).Replace
	because := func(g *stageCommand) { g.reason = "why" }
	tests := map[string]struct {
		name, stage string
		change      func(*stageCommand)
		pipeline    func(*sluicev1.Pipeline)
		want        map[string]string
	}{
		"an approval of what is wanted": {
			"approve", "", func(g *stageCommand) { g.lasting = time.Hour }, nil,
			map[string]string{"approve.sluice.dev/production": begin + `,"bundle":"` + two.ID + `","until":"2026-01-02T13:00:00Z"}`},
		},
		"a hold": {"hold", "staging", because, nil, map[string]string{"hold.sluice.dev/staging": begin + `,"reason":"why"}`}},
		"the end of a hold": {
			"resume", "", func(*stageCommand) {}, func(p *sluicev1.Pipeline) { p.Status.Stages[0].Hold = &sluicev1.Consent{By: "eve"} },
			map[string]string{"hold.sluice.dev/staging": begin + `,"end":true}`},
		},
		"a promotion by tag": {
			"promote", "production", func(g *stageCommand) { g.bundle = "web=2" }, nil,
			map[string]string{"promote.sluice.dev/production": begin + `,"bundle":"` + two.ID + `"}`},
		},
		"a promotion that waits for no window": {
			"promote", "production", func(g *stageCommand) { g.overriding, g.reason = true, "why" }, nil,
			map[string]string{
				"promote.sluice.dev/production":  begin + `,"reason":"why","bundle":"` + two.ID + `"}`,
				"override.sluice.dev/production": begin + `,"reason":"why","bundle":"` + two.ID + `"}`,
			},
		},
		"a rollback to what was verified before": {
			"rollback", "staging", because, nil,
			map[string]string{"rollback.sluice.dev/staging": begin + `,"reason":"why","bundle":"` + one.ID + `"}`},
		},
		"a lift of what is in quarantine, at the stage where it failed": {
			"lift", "", func(*stageCommand) {}, func(p *sluicev1.Pipeline) {
				p.Status.Quarantined = []sluicev1.Quarantine{{Bundle: make.Bundle("0"), Stage: "production"}}
			},
			map[string]string{"lift.sluice.dev/production": begin + `,"bundle":"` + make.Bundle("0").ID + `"}`},
		},
		"a second command in the same second": {
			"hold", "staging", because, func(p *sluicev1.Pipeline) {
				p.Status.Stages[0].Commands = []sluicev1.CommandStatus{{Verb: sluicev1.CommandHold, At: metav1.NewTime(now.Add(4 * time.Second))}}
			},
			map[string]string{"hold.sluice.dev/staging": `{"by":"bob <b@x>","at":"2026-01-02T12:00:05Z","reason":"why"}`},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if tc.pipeline == nil {
				tc.pipeline = func(*sluicev1.Pipeline) {}
			}
			c := command.NewTerminal(t, command.As("bob <b@x>"), make.Pipeline(now, tc.pipeline))
			if err := giving(t, tc.name, tc.change).issue(c.Command, c, read(t, c), tc.stage); err != nil {
				t.Fatal(err)
			}
			for annotation, text := range tc.want {
				tc.want[annotation] = escaped(text)
			}
			got := read(t, c).Annotations
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			for annotation, text := range got {
				if given, err := sluicev1.ParseCommand(text); err != nil || given.By != "bob <b@x>" {
					t.Errorf("%s cannot be read by the controller: %v", annotation, err)
				}
			}
		})
	}
}

func TestWhatIsGoingToBeWrittenIsSaidFirst(t *testing.T) {
	c := command.NewTerminal(t, command.As("bob"), make.Pipeline(now))
	if err := giving(t, "rollback", func(g *stageCommand) { g.reason = "slow" }).issue(c.Command, c, read(t, c), "staging"); err != nil {
		t.Fatal(err)
	}
	want := "staging of apps/shop: api 2, web 2 (432da512cd91) -> api 1, web 1 (c8a06c053bbc), by a commit below staging; " +
		"then the stage is held, and sluice pipeline resume ends that\n"
	if got := c.Errors.String(); !strings.HasPrefix(got, want) {
		t.Errorf("said %q", got)
	}
}

func TestALiftSaysThatItDeploysNothing(t *testing.T) {
	p := make.Pipeline(now)
	said := giving(t, "lift").done(p, "production", make.Bundle("2").ID)
	if !strings.Contains(said, "that deploys nothing: sluice pipeline promote shop STAGE -n apps --bundle "+make.Bundle("2").ID+" does") {
		t.Errorf("said %q", said)
	}
	if said := giving(t, "lift").done(p, "production", ""); strings.Contains(said, "promote") {
		t.Errorf("of a state that was lost it says %q", said)
	}
}

func TestCommandsThatAreNotGiven(t *testing.T) {
	tests := map[string]struct {
		name, stage string
		change      func(*stageCommand)
		want        string
	}{
		"to a stage that there is not": {
			"hold", "prod", func(*stageCommand) {},
			"there is no stage \"prod\": the stages of Pipeline apps/shop are staging, production",
		},
		"to one of several": {
			"hold", "", func(*stageCommand) {}, "name the STAGE: the stages of Pipeline apps/shop are staging, production",
		},
		"approving what needs none": {"approve", "staging", func(*stageCommand) {}, "cannot approve: staging needs no approval"},
		"about what nobody knows": {
			"promote", "production", func(g *stageCommand) { g.bundle = "9.9.9" }, "--bundle: no such bundle as \"9.9.9\"",
		},
		"rolling back to nothing":       {"rollback", "production", func(*stageCommand) {}, "name one with --to"},
		"lifting what is not there":     {"lift", "", func(*stageCommand) {}, "nothing is in quarantine"},
		"overriding for what is nobody": {"override", "staging", func(*stageCommand) {}, "name one with --bundle"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := command.NewTerminal(t, command.As("bob"), make.Pipeline(now))
			err := giving(t, tc.name, tc.change).issue(c.Command, c, read(t, c), tc.stage)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
			if got := read(t, c).Annotations; len(got) > 0 {
				t.Errorf("it is written all the same: %v", got)
			}
		})
	}
}

func TestFlagsThatAreRefused(t *testing.T) {
	tests := map[string]struct {
		g    *stageCommand
		want string
	}{
		"a rollback without a reason":  {giving(t, "rollback"), "--reason is required"},
		"a hold without a reason":      {giving(t, "hold"), "--reason is required"},
		"an override without a reason": {giving(t, "override"), "--reason is required"},
		"a promotion past windows without a reason": {
			giving(t, "promote", func(g *stageCommand) { g.overriding = true }), "--reason is required"},
		"a reason that is too long": {
			giving(t, "approve", func(g *stageCommand) { g.reason = strings.Repeat("x", 1025) }), "more than 1024 bytes",
		},
		"no time at all": {giving(t, "approve", func(g *stageCommand) { g.lasting = time.Millisecond }), "at least a second"},
		"an approval":    {giving(t, "approve"), ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			err := tc.g.validate()
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestARefusalOfTheAPIServerSaysWhichRightIsMissing(t *testing.T) {
	funcs := command.As("bob")
	funcs.Patch = func(context.Context, client.WithWatch, client.Object, client.Patch, ...client.PatchOption) error {
		return apierrors.NewForbidden(schema.GroupResource{Group: "sluice.dev", Resource: "pipelines"}, "shop", nil)
	}
	c := command.NewTerminal(t, funcs, make.Pipeline(now))
	err := giving(t, "approve").issue(c.Command, c, read(t, c), "production")
	if err == nil || !strings.HasSuffix(err.Error(), "you need the verb approve on pipelines/production of group sluice.dev") {
		t.Errorf("got %v", err)
	}
}

// carryOut plays the controller: whatever is given gets this outcome.
func carryOut(outcome sluicev1.CommandOutcome, message string) interceptor.Funcs {
	funcs := command.As("bob")
	funcs.Patch = func(ctx context.Context, c client.WithWatch, o client.Object, patch client.Patch, opts ...client.PatchOption) error {
		p, ok := o.(*sluicev1.Pipeline)
		if !ok || outcome == "" {
			return c.Patch(ctx, o, patch, opts...)
		}
		for annotation, text := range p.Annotations {
			verb, _, _ := sluicev1.ParseCommandAnnotation(annotation)
			given, err := sluicev1.ParseCommand(text)
			if err != nil {
				return err
			}
			p.Status.Stages[1].Commands = append(p.Status.Stages[1].Commands,
				sluicev1.CommandStatus{Verb: verb, At: given.At, Outcome: outcome, Message: message})
		}
		return c.Update(ctx, p)
	}
	return funcs
}

func TestWhatCameOfACommandIsSaid(t *testing.T) {
	tests := map[string]struct {
		outcome    sluicev1.CommandOutcome
		message    string
		out, wrong string
	}{
		"carried out": {
			sluicev1.CommandDone, "",
			"apps/shop: production: approved, api 2, web 2 (432da512cd91); it stands: api 2, web 2: 0 of 1 approvals\n", "",
		},
		"refused": {sluicev1.CommandRefused, "no", "", "the controller refuses to approve production of apps/shop: no"},
		"ignored": {sluicev1.CommandIgnored, "the policy is not installed", "", "commands are ignored: the policy is not installed"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := command.NewTerminal(t, carryOut(tc.outcome, tc.message), make.Pipeline(now))
			err := giving(t, "approve", func(g *stageCommand) { g.wait = true }).issue(c.Command, c, read(t, c), "production")
			if c.Out.String() != tc.out || (err == nil) != (tc.wrong == "") || err != nil && !strings.Contains(err.Error(), tc.wrong) {
				t.Errorf("printed %q, %v", c.Out.String(), err)
			}
		})
	}
}

func TestACommandThatNobodyCarriesOut(t *testing.T) {
	c := command.NewTerminal(t, carryOut("", ""), make.Pipeline(now, func(p *sluicev1.Pipeline) {
		p.Status.Conditions = []metav1.Condition{{Type: "Ready", Status: "False", Reason: "InvalidSpec", Message: "spec.stages: a mistake"}}
	}))
	err := giving(t, "approve", func(g *stageCommand) { g.wait, g.timeout = true, time.Millisecond }).issue(c.Command,
		c, read(t, c), "production")
	for _, want := range []string{
		"not carried it out within 1ms", "annotation approve.sluice.dev/production", "is a controller running?",
		"not ready: spec.stages: a mistake",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// An approval that takes the place of another one in the annotation would make it
// disappear before anybody counted it.
func TestAnApprovalWaitsForTheOneBeforeIt(t *testing.T) {
	alices := sluicev1.Command{By: "alice", At: metav1.NewTime(now), Bundle: make.Bundle("2").ID}.String()
	c := command.NewTerminal(t, command.As("bob"), make.Pipeline(now, func(p *sluicev1.Pipeline) {
		p.Annotations = map[string]string{"approve.sluice.dev/production": alices}
	}))
	err := giving(t, "approve", func(g *stageCommand) { g.timeout = time.Millisecond }).issue(c.Command, c, read(t, c), "production")
	if err == nil || !strings.Contains(err.Error(), "the approval of alice has not been taken up within 1ms") {
		t.Errorf("got %v", err)
	}
	if got := read(t, c).Annotations["approve.sluice.dev/production"]; got != alices {
		t.Errorf("alice's approval is gone: %s", got)
	}
}

func TestACommandThatWasReplacedIsSaidToBe(t *testing.T) {
	given := []report.GivenCommand{{Verb: sluicev1.CommandHold, Command: sluicev1.Command{By: "bob", At: metav1.NewTime(now)}}}
	p := make.Pipeline(now, func(p *sluicev1.Pipeline) {
		p.Annotations = map[string]string{"hold.sluice.dev/production": sluicev1.Command{By: "eve", At: metav1.NewTime(now)}.String()}
	})
	if done, err := outcome(p, "production", given); done || err == nil || !strings.Contains(err.Error(), `"by":"eve"`) {
		t.Errorf("%v, %v", done, err)
	}
}
