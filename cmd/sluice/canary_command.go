package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// canaryVerb gives a Canary a command, and waits for what becomes of it.
type canaryVerb struct {
	cluster *kube
	verb    flaggerv1.CommandVerb
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

func canaryVerbCommand(cluster *kube, verb flaggerv1.CommandVerb) *cobra.Command {
	v := &canaryVerb{cluster: cluster, verb: verb}
	text := verbTexts[verb]
	cmd := &cobra.Command{
		Use:   string(verb) + " NAME",
		Short: text.short,
		Long: text.long + `

The command is written into the annotation ` + flaggerv1.CommandAnnotation + ` with your name, as the
cluster knows you, and the controller carries it out.`,
		Example:           "  sluice canary " + string(verb) + " podinfo -n apps",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cluster.complete(canaries),
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
func (v *canaryVerb) asks() bool {
	return v.verb == flaggerv1.CommandAbort || v.verb == flaggerv1.CommandPromote
}

func (v *canaryVerb) run(cmd *cobra.Command, args []string) error {
	c, err := v.cluster.client()
	if err != nil {
		return err
	}
	var target flaggerv1.Canary
	if err := v.cluster.get(cmd.Context(), c, args[0], &target); err != nil {
		return err
	}
	if err := v.sensible(&target); err != nil {
		return err
	}
	if err := v.confirm(cmd, &target); err != nil {
		return err
	}
	command, err := v.give(cmd.Context(), c, &target)
	if err != nil {
		return err
	}
	if !v.wait {
		note(cmd, "told %s/%s: %s", target.Namespace, target.Name, command)
		return nil
	}
	return v.await(cmd, c, &target, command)
}

func (v *canaryVerb) sensible(c *flaggerv1.Canary) error {
	if why := objection(c, v.verb); why != "" {
		return fmt.Errorf("there is nothing to %s: %s/%s %s", v.verb, c.Namespace, c.Name, why)
	}
	return nil
}

// errDeclined is what a person ends a command with who does not confirm it.
var errDeclined = errors.New("not confirmed, nothing was done")

// confirm asks a person who sits at a terminal.
func (v *canaryVerb) confirm(cmd *cobra.Command, c *flaggerv1.Canary) error {
	in, ok := cmd.InOrStdin().(*os.File)
	if !v.asks() || v.yes || !ok || !term.IsTerminal(int(in.Fd())) {
		return nil
	}
	fmt.Fprint(cmd.ErrOrStderr(), v.question(c)+" [y/N] ")
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil || !strings.HasPrefix(strings.ToLower(strings.TrimSpace(answer)), "y") {
		return errDeclined
	}
	return nil
}

func (v *canaryVerb) question(c *flaggerv1.Canary) string {
	s := standingOf(c)
	what := shortRevision(s.Revision)
	if s.Image != "" {
		what = s.Image
	}
	text := fmt.Sprintf("Roll back %s of %s/%s, which %d%% of the users have?", what, s.Namespace, s.Name, s.Weight)
	if v.verb == flaggerv1.CommandPromote {
		text = fmt.Sprintf("Give %s of %s/%s to all users, without the rest of its analysis?", what, s.Namespace, s.Name)
	}
	return cells([]string{text})[0]
}

// give writes the command into the annotation. Whoever was faster may have made it
// senseless.
func (v *canaryVerb) give(ctx context.Context, c client.Client, target *flaggerv1.Canary) (flaggerv1.CanaryCommand, error) {
	who, err := username(ctx, c)
	if err != nil {
		return flaggerv1.CanaryCommand{}, err
	}
	command := flaggerv1.CanaryCommand{Verb: v.verb, At: metav1.NewMicroTime(time.Now().Truncate(time.Microsecond)), By: who}
	err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
		if err := fetch(ctx, c, client.ObjectKeyFromObject(target), target); err != nil {
			return err
		}
		if err := v.sensible(target); err != nil {
			return err
		}
		before := target.DeepCopy()
		if target.Annotations == nil {
			target.Annotations = map[string]string{}
		}
		target.Annotations[flaggerv1.CommandAnnotation] = command.String()
		return c.Patch(ctx, target, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	})
	if err != nil {
		return command, fmt.Errorf("telling Canary %s/%s to %s: %w", target.Namespace, target.Name, v.verb, err)
	}
	return command, nil
}

// username is what the cluster calls the person.
func username(ctx context.Context, c client.Client) (string, error) {
	var review authenticationv1.SelfSubjectReview
	if err := c.Create(ctx, &review); err != nil {
		return "", fmt.Errorf("asking the API server who you are: %w", err)
	}
	return cells([]string{review.Status.UserInfo.Username})[0], nil
}
