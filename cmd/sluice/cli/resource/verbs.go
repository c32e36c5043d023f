// SPDX-License-Identifier: Apache-2.0

package resource

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
)

// verb is a command about objects of one kind.
type verb struct {
	name, short string
	// which are the kinds that it is for.
	which func(kind) bool
	// all says that it has the flag --all.
	all bool
	do  func([]*target) error
}

func suspends(k kind) bool { return k.suspends }

// SuspendCommand is `sluice suspend`.
func SuspendCommand(version string) *cobra.Command {
	return verb{
		name: "suspend", short: "Have nothing done for objects until they are resumed: sets spec.suspend",
		which: suspends, all: true, do: each((*target).suspend),
	}.command(version)
}

// ResumeCommand is `sluice resume`, which undoes it.
func ResumeCommand(version string) *cobra.Command {
	var timeout time.Duration
	var waits bool
	v := verb{
		name: "resume", short: "Undo sluice suspend: unsets spec.suspend, and wait for the reconcile of a single object",
		which: suspends, all: true,
	}
	var cmd *cobra.Command
	v.do = func(targets []*target) error {
		all, _ := cmd.Flags().GetBool(allFlag)
		// As in Flux: one that is named is waited for unless the flag says otherwise.
		if !cmd.Flags().Changed("wait") {
			waits = len(targets) == 1 && !all
		}
		failed := each((*target).resume)(targets)
		if failed != nil || !waits {
			return failed
		}
		end := time.Now().Add(timeout)
		return each(func(t *target) error { return t.awaitResumed(max(time.Until(end), time.Second)) })(targets)
	}
	cmd = v.command(version)
	cmd.Flags().BoolVar(&waits, "wait", false, "wait until the objects are reconciled; default: if one is named")
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Minute, "give up waiting after this time")
	return cmd
}

// ReconcileCommand is `sluice reconcile`.
func ReconcileCommand(version string) *cobra.Command {
	var timeout time.Duration
	var source bool
	cmd := verb{
		name: "reconcile", short: "Have objects reconciled now, and wait for what comes of it, but of canaries",
		which: func(k kind) bool { return k.requests != ignored },
		do: each(func(t *target) error {
			if source {
				if err := t.source(timeout); err != nil {
					return err
				}
			}
			return t.reconcile(timeout)
		}),
	}.command(version)
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Minute, "give up after this time")
	cmd.Flags().BoolVar(&source, "with-source", false, "first have the source of a Kustomization reconciled")
	return cmd
}

// allFlag selects all objects of a kind in the namespace.
const allFlag = "all"

func (v verb) command(version string) *cobra.Command {
	known := strings.Join(plurals(v.which), ", ")
	cmd := &cobra.Command{
		Use: v.name + " KIND NAME...", Short: v.short,
		Long: v.short + ".\nKIND is one of " + known +
			", or its singular or short name, or as in Flux's\nCLI: source git, source oci, source bucket, image repository,\n" +
			"image policy, image update. KIND/NAME will do.",
		Example: fmt.Sprintf("  sluice %s kustomization podinfo -n apps", v.name),
	}
	c := cluster.AddFlags(cmd, version)
	var all bool
	if v.all {
		cmd.Flags().BoolVar(&all, allFlag, false, "all objects of the KIND in the namespace")
		cmd.Example += fmt.Sprintf("\n  sluice %s source git --all -n apps", v.name)
	}
	cmd.ValidArgsFunction = complete(c, v.which)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		k, names, err := kindAndNames(cmd, args, known)
		if all {
			k, err = kindAlone(args)
		}
		if err != nil {
			return err
		}
		if !v.which(k) {
			return fmt.Errorf("%s of %s is not possible: their kind has nothing for it", v.name, k.plural)
		}
		api, err := c.Client()
		if err != nil {
			return err
		}
		var found []*target
		if all {
			found, err = allTargets(cmd, c, api, k)
		} else {
			found, err = targets(cmd, c, api, k, names)
		}
		return errors.Join(err, v.do(found))
	}
	return cmd
}

// kindAlone is the kind that the arguments of a command with --all name.
func kindAlone(args []string) (kind, error) {
	if len(args) == 0 {
		return kind{}, errors.New("--all needs a KIND")
	}
	k, names, err := namedFirst(args)
	if err == nil && len(names) > 0 {
		err = fmt.Errorf("--all is all %s of the namespace: leave out %s", k.plural, strings.Join(names, " "))
	}
	return k, err
}

// kindAndNames are what the arguments of a command say, which takes the known kinds.
func kindAndNames(cmd *cobra.Command, args []string, known string) (kind, []string, error) {
	missing := fmt.Errorf("%s needs a KIND and a NAME: %s; kinds: %s", cmd.CommandPath(), cmd.UseLine(), known)
	if len(args) > 0 {
		if word, name, pair := strings.Cut(args[0], "/"); pair {
			args = append([]string{word, name}, args[1:]...)
		}
	}
	if len(args) < 2 {
		return kind{}, nil, missing
	}
	k, names, err := namedFirst(args)
	if err != nil {
		return k, nil, err
	}
	names = slices.Clone(names)
	for i, arg := range names {
		word, name, pair := strings.Cut(arg, "/")
		if !pair {
			continue
		}
		if other, err := named(word); err != nil || other.Kind != k.Kind {
			return k, nil, fmt.Errorf("%s: %s is about objects of one kind, here of %s", arg, cmd.CommandPath(), k.plural)
		}
		names[i] = name
	}
	if len(names) == 0 || slices.Contains(names, "") {
		return k, nil, missing
	}
	return k, names, nil
}

// complete offers kinds, and then names of objects of the one that the arguments name.
func complete(c *cluster.Cluster, which func(kind) bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		before, _, pair := strings.Cut(word, "/")
		prefix := ""
		switch {
		case pair:
			args, prefix = []string{before}, before+"/"
		case len(args) == 0:
			return plurals(which), cobra.ShellCompDirectiveNoFileComp
		}
		if word, name, given := strings.Cut(args[0], "/"); given {
			args = append([]string{word, name}, args[1:]...)
		}
		k, given, err := namedFirst(args)
		if err != nil || !which(k) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		found, directive := c.Complete(func() client.ObjectList { return k.list() })(cmd, nil, word)
		var names []cobra.Completion
		for _, name := range found {
			if !slices.Contains(given, name) {
				names = append(names, prefix+name)
			}
		}
		return names, directive
	}
}
