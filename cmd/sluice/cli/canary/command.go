// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/usage"
	"github.com/sluice-cd/sluice/report"
	"github.com/sluice-cd/sluice/ui/command"
)

// commandOptions gives a Canary a command, and waits for what becomes of it.
type commandOptions struct {
	cluster *cluster.Cluster
	clock   clock.PassiveClock
	name    flaggerv1.CommandVerb
	yes     bool
	wait    bool
	timeout time.Duration
}

// verbTexts are what people read about each verb.
var verbTexts = map[flaggerv1.CommandVerb]struct{ short, long string }{
	flaggerv1.CommandApprove: {
		"Let a release go on that waits at a gate, or that was halted or paused",
		`Open the gate that a release waits at, whether a webhook or the annotation
sluice.dev/gates closed it, or end a halt or a pause.`,
	},
	flaggerv1.CommandHalt: {
		"Keep a release in its step; checks go on",
		`Keep a release in its step until it is approved. Checks go on, and still roll it
back.`,
	},
	flaggerv1.CommandPause: {
		"Keep a release in its step, unchecked",
		`Keep a release in its step until it is approved, and check nothing meanwhile: users
stay where they are as long as the canary answers.`,
	},
	flaggerv1.CommandAbort: {
		"Roll a release back now",
		`Roll the release that is under way back now. Its revision has failed, and is not
tried again before the target changes or sluice canary retry asks for it.`,
	},
	flaggerv1.CommandPromote: {
		"Promote a release now, unmeasured",
		`Give users the revision that is under way now, without the rest of its analysis.`,
	},
	flaggerv1.CommandRetry: {
		"Analyse a revision that failed once more",
		`Analyse the revision that failed once more, from the first step. The target stays as
it is.`,
	},
}

func verbCommand(c *cluster.Cluster, name flaggerv1.CommandVerb, clk clock.PassiveClock) *cobra.Command {
	v := &commandOptions{cluster: c, clock: clk, name: name}
	text := verbTexts[name]
	cmd := &cobra.Command{
		Use:   string(name) + " NAME",
		Short: text.short,
		Long: text.long + `

The command is written into the annotation ` + flaggerv1.CommandAnnotation + ` with your name, as the
cluster knows you, and the controller carries it out.`,
		Example:           "  sluice canary " + string(name) + " podinfo -n apps",
		Args:              usage.OneName("sluice canary get"),
		ValidArgsFunction: c.Complete(newList),
		RunE:              v.run,
	}
	cmd.Flags().BoolVar(&v.wait, "wait", true, "wait until the controller has carried it out")
	cmd.Flags().DurationVar(&v.timeout, "timeout", time.Minute, "how long to wait")
	if v.asks() {
		cmd.Flags().BoolVarP(&v.yes, "yes", "y", false, "do not ask for confirmation, which is asked for in a terminal only")
	}
	return cmd
}

// asks reports whether a person is asked first: users get another version at once.
func (v *commandOptions) asks() bool {
	return v.name == flaggerv1.CommandAbort || v.name == flaggerv1.CommandPromote
}

func (v *commandOptions) run(cmd *cobra.Command, args []string) error {
	var target flaggerv1.Canary
	c, err := v.cluster.Find(cmd.Context(), args[0], &target)
	if err != nil {
		return err
	}
	if err := v.check(&target); err != nil {
		return err
	}
	if err := v.confirm(cmd, &target); err != nil {
		return err
	}
	given, err := v.sendCommand(cmd.Context(), c, &target)
	if err != nil {
		return err
	}
	if !v.wait {
		output.Note(cmd, "told %s/%s: %s", target.Namespace, target.Name, given)
		return nil
	}
	return v.await(cmd, c, &target, given)
}

// check refuses a command that would change nothing.
func (v *commandOptions) check(c *flaggerv1.Canary) error {
	if why := report.ObjectionTo(v.name, c, v.clock.Now()); why != "" {
		return fmt.Errorf("there is nothing to %s: %s/%s %s", v.name, c.Namespace, c.Name, why)
	}
	return nil
}

// confirm asks a person who sits at a terminal.
func (v *commandOptions) confirm(cmd *cobra.Command, c *flaggerv1.Canary) error {
	if !v.asks() || v.yes {
		return nil
	}
	return output.Confirm(cmd, v.question(c))
}

func (v *commandOptions) question(c *flaggerv1.Canary) string {
	s := report.OfCanary(c)
	what := cmp.Or(s.Image, report.ShortRevision(s.Revision))
	text := fmt.Sprintf("Roll back %s of %s/%s, which %d%% of the users have?", what, s.Namespace, s.Name, s.Weight)
	if v.name == flaggerv1.CommandPromote {
		text = fmt.Sprintf("Give %s of %s/%s to all users, without the rest of its analysis?", what, s.Namespace, s.Name)
	}
	return output.Clean(text)
}

// sendCommand writes the command into the annotation, in the name of whoever asks.
func (v *commandOptions) sendCommand(ctx context.Context, c client.Client, target *flaggerv1.Canary) (flaggerv1.CanaryCommand, error) {
	who, err := cluster.Username(ctx, c)
	if err != nil {
		return flaggerv1.CanaryCommand{}, err
	}
	return command.Person{Client: c, Name: output.Clean(who), Clock: v.clock}.Canary(ctx, v.name, target)
}
