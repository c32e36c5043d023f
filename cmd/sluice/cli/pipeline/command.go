// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/report"
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

// maxReason bounds the bytes of a reason, which becomes part of an annotation.
const maxReason = 1024

func (g *stageCommand) validate() error {
	switch {
	case g.reason == "" && (g.needsReason || g.overriding):
		return errors.New("--reason is required: whoever looks at the pipeline later wants to know why")
	case len(g.reason) > maxReason:
		return fmt.Errorf("--reason has more than %d bytes", maxReason)
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
	if given, err = g.annotate(cmd.Context(), c, p, stage, given); err != nil {
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
	command := sluicev1.Command{By: who, Reason: g.reason, End: g.end}
	if g.bundle != "" {
		b, err := report.FindBundle(p, g.bundle)
		if err != nil {
			return nil, "", fmt.Errorf("--%s: %w", g.bundleFlag, err)
		}
		command.Bundle = b.ID
	}
	var err error
	if stage == "" {
		if stage, err = report.StageOf(p, g.command, command); err != nil {
			return nil, "", err
		}
	}
	if command.Bundle == "" {
		command.Bundle = g.bundleOf(p, stage)
	}
	given := []report.GivenCommand{{Verb: g.command, Command: command}}
	if g.overriding {
		given = []report.GivenCommand{{Verb: sluicev1.CommandOverride, Command: command}, given[0]}
	}
	return given, stage, g.check(p, stage, given)
}

// bundleOf is the bundle that the command is about if nobody names one, so that it is
// about what the person saw, and not about what comes next.
func (g *stageCommand) bundleOf(p *sluicev1.Pipeline, stage string) string {
	var found *sluicev1.Bundle
	switch g.command {
	case sluicev1.CommandApprove, sluicev1.CommandOverride:
		for _, s := range p.Status.Stages {
			if s.Name == stage {
				found = s.Wants
			}
		}
	case sluicev1.CommandPromote:
		found = report.Promotable(p, stage)
	case sluicev1.CommandRollback:
		found = report.RollbackTarget(p, stage)
	case sluicev1.CommandLift:
		if q := p.Status.Quarantined; len(q) == 1 && !report.StateIsLost(p) {
			found = &q[0].Bundle
		}
	case sluicev1.CommandHold:
	}
	if found == nil {
		return ""
	}
	return found.ID
}

// check refuses commands that would change nothing.
func (g *stageCommand) check(p *sluicev1.Pipeline, stage string, given []report.GivenCommand) error {
	for _, one := range given {
		if why := report.ObjectionToStage(p, stage, one, g.clock.Now()); why != "" {
			return fmt.Errorf("cannot %s: %s", g.name, output.Clean(why))
		}
	}
	return nil
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

// annotate writes commands into annotations, unless they make no sense any more after what
// somebody else did meanwhile.
func (g *stageCommand) annotate(
	ctx context.Context, c client.Client, p *sluicev1.Pipeline, stage string, given []report.GivenCommand,
) ([]report.GivenCommand, error) {
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		if err := cluster.Get(ctx, c, client.ObjectKeyFromObject(p), p); err != nil {
			return err
		}
		if err := g.check(p, stage, given); err != nil {
			return err
		}
		if by := g.pendingApproval(p, stage); by != "" {
			return fmt.Errorf("the approval of %s is being taken up: try again", by)
		}
		before := p.DeepCopy()
		if p.Annotations == nil {
			p.Annotations = map[string]string{}
		}
		for i := range given {
			given[i].At = g.commandTime(p, stage, given[i].Verb)
			if g.lasting > 0 {
				given[i].Until = &metav1.Time{Time: given[i].At.Add(g.lasting)}
			}
			p.Annotations[sluicev1.CommandAnnotation(given[i].Verb, stage)] = given[i].String()
		}
		return c.Patch(ctx, p, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	})
	switch {
	case apierrors.IsForbidden(err), apierrors.IsInvalid(err):
		return given, fmt.Errorf("the API server does not let you %s stage %s of %s/%s: %w\nyou need the verb %s on pipelines/%s of group %s",
			g.name, stage, p.Namespace, p.Name, err, g.command, stage, sluicev1.GroupVersion.Group)
	case err != nil:
		return given, fmt.Errorf("telling stage %s of Pipeline %s/%s to %s: %w", stage, p.Namespace, p.Name, g.name, err)
	}
	return given, nil
}

// commandTime is the time of a command: now, or a second after the last one of its verb, since
// a command is told from the one before it by its time, which has whole seconds.
func (g *stageCommand) commandTime(p *sluicev1.Pipeline, stage string, verb sluicev1.CommandVerb) metav1.Time {
	at := g.clock.Now().UTC().Truncate(time.Second)
	after := func(last time.Time) {
		if !at.After(last) {
			at = last.UTC().Add(time.Second)
		}
	}
	if last, err := sluicev1.ParseCommand(p.Annotations[sluicev1.CommandAnnotation(verb, stage)]); err == nil {
		after(last.At.Time)
	}
	for _, s := range p.Status.Stages {
		if done := report.CommandStatusOf(s, verb); s.Name == stage && done != nil {
			after(done.At.Time)
		}
	}
	return metav1.NewTime(at)
}

// pendingApproval is whose approval of a stage is not taken up yet. An approval that took its
// place in the annotation would make it disappear, and both may be needed.
func (g *stageCommand) pendingApproval(p *sluicev1.Pipeline, stage string) string {
	if g.command != sluicev1.CommandApprove {
		return ""
	}
	for _, s := range report.OfPipeline(p).Stages {
		for _, pending := range s.Pending {
			if s.Name == stage && pending.Verb == sluicev1.CommandApprove {
				return cmp.Or(strings.TrimSpace(output.Clean(pending.By)), "somebody")
			}
		}
	}
	return ""
}
