// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/follow"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/internal/shorten"
	"github.com/sluice-cd/sluice/report"
)

// errTimeout means that the controller did not do what was waited for.
var errTimeout = errors.New("is a controller running?")

// await waits until the controller says what came of commands, and prints that.
func (g *stageCommand) await(
	cmd *cobra.Command, c client.WithWatch, p *sluicev1.Pipeline, stage string, given []report.GivenCommand,
) error {
	key := client.ObjectKeyFromObject(p)
	what := fmt.Sprintf("waiting for the controller to %s %s of %s", g.name, stage, key)
	timeout := fmt.Errorf("the controller has not carried it out within %s; the command stays in the annotation %s of Pipeline %s: %w",
		shorten.Duration(g.timeout), sluicev1.CommandAnnotation(g.command, stage), key, errTimeout)
	return g.follow(cmd, c, p,
		follow.Wait[*sluicev1.Pipeline]{What: what, Timeout: timeout, Until: func(now *sluicev1.Pipeline) (bool, error) {
			done, err := outcome(now, stage, given)
			if done && err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", key, output.Clean(g.done(now, stage, given[len(given)-1].Bundle)))
			}
			return done, err
		}})
}

// awaitPendingApproval waits until an approval of somebody else is taken up.
func (g *stageCommand) awaitPendingApproval(cmd *cobra.Command, c client.WithWatch, p *sluicev1.Pipeline, stage string) error {
	by := g.pendingApproval(p, stage)
	if by == "" {
		return nil
	}
	return g.follow(cmd, c, p, follow.Wait[*sluicev1.Pipeline]{
		What:    "waiting for the controller to take up the approval of " + by,
		Timeout: fmt.Errorf("the approval of %s has not been taken up within %s: %w", by, shorten.Duration(g.timeout), errTimeout),
		Until:   func(now *sluicev1.Pipeline) (bool, error) { return g.pendingApproval(now, stage) == "", nil },
	})
}

// follow follows the pipeline until something is so. What holds up the whole pipeline is
// said if the time is over.
func (g *stageCommand) follow(cmd *cobra.Command, c client.WithWatch, p *sluicev1.Pipeline, w follow.Wait[*sluicev1.Pipeline]) error {
	last, until := report.Pipeline{}, w.Until
	w.Limit = g.timeout
	w.Until = func(now *sluicev1.Pipeline) (bool, error) {
		last = report.OfPipeline(now)
		return until(now)
	}
	err := follow.Await(cmd, c, newList, p, w)
	if errors.Is(err, errTimeout) && last.Ready == "False" {
		return fmt.Errorf("%w\nthe pipeline is not ready: %s", err, output.Clean(last.Message))
	}
	return err
}

// outcome reports whether all commands have been handled. The error says that one was
// refused or ignored, or replaced by another one before that.
func outcome(p *sluicev1.Pipeline, stage string, given []report.GivenCommand) (bool, error) {
	handled := 0
	for _, one := range given {
		var done *sluicev1.CommandStatus
		for _, s := range p.Status.Stages {
			if s.Name == stage {
				done = report.CommandStatusOf(s, one.Verb)
			}
		}
		if done == nil || !done.At.Equal(&one.At) {
			if value := p.Annotations[sluicev1.CommandAnnotation(one.Verb, stage)]; value != one.String() {
				return false, fmt.Errorf("the command was replaced before the controller said what came of it, by: %s", output.Clean(value))
			}
			continue
		}
		handled++
		switch done.Outcome {
		case sluicev1.CommandRefused:
			return false, fmt.Errorf("the controller refuses to %s %s of %s/%s: %s",
				one.Verb, stage, p.Namespace, p.Name, output.Clean(done.Message))
		case sluicev1.CommandIgnored:
			why := strings.TrimPrefix(report.OfPipeline(p).CommandsIgnored, "commands in annotations are ignored: ")
			return false, fmt.Errorf("commands are ignored: %s", output.Clean(cmp.Or(why, done.Message)))
		case sluicev1.CommandDone:
		}
	}
	return handled == len(given), nil
}

// done says what was done, and where the stage stands after it.
func (g *stageCommand) done(p *sluicev1.Pipeline, stage, bundle string) string {
	what := map[string]string{
		"approve": "approved", "hold": "held", "resume": "resumed", "promote": "told to be promoted", "rollback": "told to be rolled back",
		"override": "windows and freezes are open", "lift": "lifted",
	}[g.name]
	for _, b := range report.Bundles(p) {
		if b.ID == bundle && bundle != "" {
			what += ", " + report.NameBundle(b)
		}
	}
	text := stage + ": " + what
	if g.command == sluicev1.CommandLift && bundle != "" {
		text += fmt.Sprintf("; that deploys nothing: sluice pipeline promote %s STAGE -n %s --bundle %s does", p.Name, p.Namespace, bundle)
	}
	for _, s := range p.Status.Stages {
		if s.Name == stage && s.Message != "" {
			text += "; it stands: " + s.Message
		}
	}
	return text
}
