// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// named is a command in a page: in the middle of a sentence, as `sluice judge plan`, or on a line of its own, with
// whatever is before it in a pipe.
var named = regexp.MustCompile("(?m)`(sluice [a-z][^`]*)`|^(?:\\$ |.*[|&] )?(sluice [a-z].*)$")

// TestCommandsThatPagesNameExist reads README and all of docs: whoever types what is there is not told that there is no
// such command or flag.
func TestCommandsThatPagesNameExist(t *testing.T) {
	root, seen := filepath.Join("..", ".."), 0
	check := func(path string) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range named.FindAllStringSubmatch(string(text), -1) {
			line := found[1] + found[2]
			seen++
			if problem := unknown(newRoot("sluice"), line); problem != "" {
				t.Errorf("%s: %s: %s", path, line, problem)
			}
		}
	}
	check(filepath.Join(root, "README.md"))
	if err := filepath.WalkDir(filepath.Join(root, "docs"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".md") {
			check(path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if seen < 100 {
		t.Errorf("%d commands were found", seen)
	}
	for line, want := range map[string]string{
		"sluice explain canary podinfo": "there is no sluice explain canary", "sluice judge plan --rate 5": "has no flag --rate",
		"sluice judge plan -q": "has no flag -q",
	} {
		if got := unknown(newRoot("sluice"), line); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

// unknown is what a command line names that there is not.
func unknown(root *cobra.Command, line string) string {
	for _, end := range []string{" | ", " > ", " # ", " && ", " \\", "..."} {
		line, _, _ = strings.Cut(line, end)
	}
	root.InitDefaultCompletionCmd()
	cmd, named := root, false
	for _, word := range strings.Fields(line)[1:] {
		switch {
		case strings.HasPrefix(word, "-") && word != "-" && word != "--":
			dashed, _, _ := strings.Cut(word, "=")
			if flagOf(cmd, strings.TrimLeft(dashed, "-")) == nil {
				return "has no flag " + dashed
			}
			named = true
		case !named && cmd.HasSubCommands():
			child := childOf(cmd, strings.Trim(word, ",.:;"))
			if child == nil {
				return "there is no " + cmd.CommandPath() + " " + word
			}
			cmd = child
		}
	}
	return ""
}

// flagOf is a flag by its name or its letter.
func flagOf(cmd *cobra.Command, name string) *pflag.Flag {
	for _, flags := range []*pflag.FlagSet{cmd.Flags(), cmd.InheritedFlags()} {
		if flag := flags.Lookup(name); flag != nil {
			return flag
		}
		if len(name) == 1 {
			if flag := flags.ShorthandLookup(name); flag != nil {
				return flag
			}
		}
	}
	return nil
}

func childOf(cmd *cobra.Command, name string) *cobra.Command {
	for _, child := range cmd.Commands() {
		if child.Name() == name || child.HasAlias(name) {
			return child
		}
	}
	return nil
}
