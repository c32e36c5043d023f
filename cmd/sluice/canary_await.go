package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// await waits until the controller has carried a command out, and prints what
// became of it.
func (v *canaryVerb) await(cmd *cobra.Command, c client.WithWatch, target *flaggerv1.Canary, command flaggerv1.CanaryCommand) error {
	key := client.ObjectKeyFromObject(target)
	ctx, cancel := withTimeout(cmd.Context(), v.timeout, fmt.Errorf(
		"the controller has not carried it out within %s: is one running? The command stays in the annotation %s of Canary %s",
		v.timeout, flaggerv1.CommandAnnotation, key))
	defer cancel()
	f := &follower{
		client: c, where: named(target.Namespace, target.Name),
		lost: func(err error) { note(cmd, "connection lost, trying again: %v", err) },
		gone: func(client.ObjectKey) error { return fmt.Errorf("Canary %s was deleted", key) },
		saw: func(now *flaggerv1.Canary) error {
			text, err := outcome(now, command)
			if err != nil || text == "" {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", key, text)
			return errDone
		},
	}
	err := awaiting(cmd, fmt.Sprintf("waiting for the controller to %s %s", v.verb, key), func() error { return f.run(ctx) })
	if errors.Is(err, errDone) {
		return nil
	}
	return err
}

// outcome is what became of a command, empty before it was carried out. The error
// says that it was refused, or never will be carried out.
func outcome(c *flaggerv1.Canary, command flaggerv1.CanaryCommand) (string, error) {
	last := c.Status.LastCommand
	if last == nil || !last.Same(command) {
		if value := c.Annotations[flaggerv1.CommandAnnotation]; value != command.String() {
			return "", fmt.Errorf("the command was replaced before it was carried out, by: %s", cells([]string{value})[0])
		}
		return "", nil
	}
	text := cells([]string{cmp.Or(last.Outcome, "carried out")})[0]
	if why, refused := strings.CutPrefix(text, flaggerv1.OutcomeRefused); refused {
		return "", fmt.Errorf("the controller refuses to %s %s/%s: %s", last.Verb, c.Namespace, c.Name, why)
	}
	return text, nil
}

// pending is a command that was given and not carried out yet.
func pending(c *flaggerv1.Canary) *flaggerv1.CanaryCommand {
	command, err := flaggerv1.ParseCommand(c.Annotations[flaggerv1.CommandAnnotation])
	if err != nil {
		return nil
	}
	if last := c.Status.LastCommand; last != nil && last.Same(command) {
		return nil
	}
	return &command
}
