// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sluice-cd/sluice/test/golden"
)

// TestDocsAreCurrent compares docs/cli.md with what the commands say of
// themselves; -update writes it.
func TestDocsAreCurrent(t *testing.T) {
	t.Setenv("RUNTIME_NAMESPACE", "")
	t.Setenv("HOME", "/home/you")
	golden.Compare(t, "../../docs/cli.md", reference(newRoot("sluice")))
}

// reference is the page, in the order of the commands.
func reference(cmd *cobra.Command) string {
	var b strings.Builder
	b.WriteString("# Command line\n\nGenerated from the commands by `go test ./cmd/sluice -run Docs -update`. " +
		"Named `kubectl-sluice` or `flux-sluice`, the binary is a plugin of those; as `kubectl_complete-sluice` it completes " +
		"for kubectl. `sluice completion` prints completions for bash, zsh, fish and PowerShell, names of objects included. " +
		"Data goes to standard output and everything else to standard error; the exit code is not 0 on failure.\n")
	describe(&b, cmd)
	return b.String()
}

func describe(b *strings.Builder, cmd *cobra.Command) {
	if !cmd.HasSubCommands() {
		text := cmd.Long
		if text == "" {
			text = cmd.Short + "."
		}
		fmt.Fprintf(b, "\n## %s\n\n%s\n\n```\n%s\n```\n", cmd.CommandPath(), text, cmd.UseLine())
		if cmd.Example != "" {
			fmt.Fprintf(b, "\nExamples:\n\n```\n%s\n```\n", strings.ReplaceAll(strings.TrimPrefix(cmd.Example, "  "), "\n  ", "\n"))
		}
		flagTable(b, cmd)
	}
	for _, child := range cmd.Commands() {
		if child.IsAvailableCommand() && child.Name() != "completion" {
			describe(b, child)
		}
	}
}

func flagTable(b *strings.Builder, cmd *cobra.Command) {
	var rows []string
	add := func(f *pflag.Flag) {
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		value := ""
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" {
			value = "`" + f.DefValue + "`"
		}
		if !f.Hidden && f.Name != "help" {
			rows = append(rows, fmt.Sprintf("| `%s` | %s | %s |\n", name, strings.ReplaceAll(f.Usage, "|", `\|`), value))
		}
	}
	cmd.NonInheritedFlags().VisitAll(add)
	cmd.InheritedFlags().VisitAll(add)
	if len(rows) > 0 {
		b.WriteString("\n| Flag | | Default |\n|---|---|---|\n" + strings.Join(rows, ""))
	}
}
