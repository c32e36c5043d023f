// SPDX-License-Identifier: Apache-2.0

// Package usage checks the arguments of commands. Its errors have the whole command as it is called, and the command that
// lists what can be named: cobra's own say that a command accepts 1 arg and received 0.
package usage

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// OneName wants the name of one object. List is a command that lists them.
func OneName(list string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 {
			return nil
		}
		return fmt.Errorf("%s needs one NAME, not %d: %s; list them with %s", cmd.CommandPath(), len(args), cmd.UseLine(), list)
	}
}

// Subcommand is for a command that only has others below it.
func Subcommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var known []string
	for _, child := range cmd.Commands() {
		if child.IsAvailableCommand() && child.Name() != "completion" {
			known = append(known, child.Name())
		}
	}
	return fmt.Errorf("unknown command %q for %q; known: %s", args[0], cmd.CommandPath(), strings.Join(known, ", "))
}
