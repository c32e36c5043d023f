// SPDX-License-Identifier: Apache-2.0

// Package command runs commands of the command line inside a test, without a process.
package command

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// Result is what a command did.
type Result struct {
	Out, Errors string
	Err         error
}

// Run runs a command with an input and arguments.
func Run(t *testing.T, cmd *cobra.Command, input string, args ...string) Result {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.SetArgs(args)
	cmd.SetIn(strings.NewReader(input))
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	err := cmd.ExecuteContext(t.Context())
	return Result{out.String(), errs.String(), err}
}

// Must is Run for what should not fail.
func Must(t *testing.T, cmd *cobra.Command, input string, args ...string) Result {
	t.Helper()
	r := Run(t, cmd, input, args...)
	if r.Err != nil {
		t.Fatalf("%s %s: %v\n%s", cmd.Name(), strings.Join(args, " "), r.Err, r.Errors)
	}
	return r
}

// Folder makes a temporary folder of files, by their path in it.
func Folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Read returns the content of a file.
func Read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
