// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/report"
	"github.com/sluice-cd/sluice/ui/command"
)

// stageCommand is a subcommand that writes a command for a stage into an annotation, and
// waits until the controller has handled it.
type stageCommand struct {
	verb
	cluster *cluster.Cluster
	clock   clock.PassiveClock

	bundle, reason string
	lasting        time.Duration
	overriding     bool
	yes, wait      bool
	timeout        time.Duration
}

func verbCommand(c *cluster.Cluster, v verb, clk clock.PassiveClock) *cobra.Command {
	g := &stageCommand{verb: v, cluster: c, clock: clk}
	cmd := &cobra.Command{
		Use:   v.name + " NAME [STAGE]",
		Short: v.short,
		Long: v.long + `

STAGE may be left out where only one can be meant. The command is written into the
annotation ` + string(v.command) + sluicev1.CommandDomain + `/STAGE with your name, as the cluster knows you. The API
server takes it if you have the right to ` + string(v.command) + ` pipelines/STAGE, and the controller carries
it out.`,
		Example:           v.example,
		Args:              nameAndStage,
		ValidArgsFunction: completeStages(c),
		RunE:              g.run,
	}
	g.register(cmd)
	return cmd
}

func (g *stageCommand) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&g.wait, "wait", true, "wait until the controller has carried it out")
	flags.DurationVar(&g.timeout, "timeout", time.Minute, "how long to wait")
	why := "why, which the status and the history keep"
	if g.needsReason {
		why += "; required"
	}
	flags.StringVar(&g.reason, "reason", "", why)
	if g.bundleFlag != "" {
		flags.StringVar(&g.bundle, g.bundleFlag, "", "which bundle: its id, a tag, or artifact=tag with commas between several")
	}
	if g.lasts {
		flags.DurationVar(&g.lasting, "for", 0, "for how long it is in force; 0 is without a limit")
	}
	if g.command == sluicev1.CommandPromote {
		flags.BoolVar(&g.overriding, "override", false, "do not wait for windows and freezes; needs a --reason")
	}
	if g.asks {
		flags.BoolVarP(&g.yes, "yes", "y", false, "do not ask for confirmation, which is asked for in a terminal only")
	}
}

func (g *stageCommand) validate() error {
	switch {
	case g.reason == "" && (g.needsReason || g.overriding):
		return errors.New("--reason is required: whoever looks at the pipeline later wants to know why")
	case len(g.reason) > command.MaxReason:
		return fmt.Errorf("--reason has more than %d bytes", command.MaxReason)
	case g.lasting < 0 || g.lasting > 0 && g.lasting < time.Second:
		return errors.New("--for: name at least a second")
	}
	return nil
}

func (g *stageCommand) run(cmd *cobra.Command, args []string) error {
	if err := g.validate(); err != nil {
		return err
	}
	var p sluicev1.Pipeline
	c, err := g.cluster.Find(cmd.Context(), args[0], &p)
	if err != nil {
		return err
	}
	stage := ""
	if len(args) > 1 {
		stage = args[1]
	}
	return g.issue(cmd, c, &p, stage)
}

// issue gives the command to a stage, the only possible one if its name is empty.
func (g *stageCommand) issue(cmd *cobra.Command, c client.WithWatch, p *sluicev1.Pipeline, stage string) error {
	who, err := cluster.Username(cmd.Context(), c)
	if err != nil {
		return err
	}
	given, stage, err := g.build(p, stage, who)
	if err != nil {
		return err
	}
	if g.asks {
		text := g.preview(p, stage, given[len(given)-1].Bundle)
		output.Note(cmd, "%s", text)
		if !g.yes {
			if err := output.Confirm(cmd, "Go on?"); err != nil {
				return err
			}
		}
	}
	if ignored := report.OfPipeline(p).CommandsIgnored; ignored != "" {
		output.Note(cmd, "%s", output.Clean(ignored))
	}
	if err := g.awaitPendingApproval(cmd, c, p, stage); err != nil {
		return err
	}
	if given, err = g.sendCommand(cmd.Context(), c, p, stage, given); err != nil {
		return err
	}
	if !g.wait {
		output.Note(cmd, "told stage %s of %s/%s to %s; sluice pipeline describe says what comes of it", stage, p.Namespace, p.Name, g.name)
		return nil
	}
	return g.await(cmd, c, p, stage, given)
}

// build makes the commands to write, and finds their stage; what would change nothing is an error.
func (g *stageCommand) build(p *sluicev1.Pipeline, stage, who string) ([]report.GivenCommand, string, error) {
	asked := sluicev1.Command{By: who, Reason: g.reason, End: g.end}
	if g.bundle != "" {
		b, err := report.FindBundle(p, g.bundle)
		if err != nil {
			return nil, "", fmt.Errorf("--%s: %w", g.bundleFlag, err)
		}
		asked.Bundle = b.ID
	}
	var err error
	if stage == "" {
		if stage, err = report.StageOf(p, g.command, asked); err != nil {
			return nil, "", err
		}
	}
	if asked.Bundle == "" {
		asked.Bundle = command.BundleMeant(p, stage, g.command)
	}
	given := []report.GivenCommand{{Verb: g.command, Command: asked}}
	if g.overriding {
		given = []report.GivenCommand{{Verb: sluicev1.CommandOverride, Command: asked}, given[0]}
	}
	if err := g.commands(stage, given).Objection(p, g.clock.Now()); err != nil {
		return nil, "", errors.New(output.Clean(err.Error()))
	}
	return given, stage, nil
}

// preview says what the stage has and gets, for the question before a command is given.
func (g *stageCommand) preview(p *sluicev1.Pipeline, stage, bundle string) string {
	has, gets := "nothing", bundle
	for _, b := range report.Bundles(p) {
		if b.ID == bundle {
			gets = report.NameBundle(b)
		}
	}
	for _, s := range p.Status.Stages {
		if s.Name == stage && s.Has != nil {
			has = report.NameBundle(*s.Has)
		}
	}
	text := fmt.Sprintf("%s of %s/%s: %s -> %s, by %s", stage, p.Namespace, p.Name, has, gets, report.HowItIsWritten(p, stage))
	if g.command == sluicev1.CommandRollback {
		text += "; then the stage is held, and sluice pipeline resume ends that"
	}
	return output.Clean(text)
}

// sendCommand writes commands into annotations, in the name of whoever asks.
func (g *stageCommand) sendCommand(
	ctx context.Context, c client.Client, p *sluicev1.Pipeline, stage string, given []report.GivenCommand,
) ([]report.GivenCommand, error) {
	given, err := command.Person{Client: c, Clock: g.clock}.Stage(ctx, p, g.commands(stage, given))
	var objection *command.ObjectionError
	if errors.As(err, &objection) {
		return given, errors.New(output.Clean(objection.Why))
	}
	return given, err
}

func (g *stageCommand) commands(stage string, given []report.GivenCommand) command.StageCommands {
	return command.StageCommands{Stage: stage, Name: g.name, Commands: given, Lasting: g.lasting}
}

// pendingApproval is whose approval of a stage has to be taken up before another one is given.
func (g *stageCommand) pendingApproval(p *sluicev1.Pipeline, stage string) string {
	if g.command != sluicev1.CommandApprove {
		return ""
	}
	by := command.PendingApproval(p, stage)
	if by == "" {
		return ""
	}
	return strings.TrimSpace(output.Clean(by))
}
