package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// result is what a command did.
type result struct {
	out, errs string
	err       error
}

// invoke runs a command line with an input, as main does.
func invoke(t *testing.T, input string, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := root("sluice")
	cmd.SetArgs(args)
	cmd.SetIn(strings.NewReader(input))
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	err := cmd.ExecuteContext(t.Context())
	return result{out.String(), errs.String(), err}
}

// must is invoke for what should not fail.
func must(t *testing.T, input string, args ...string) result {
	t.Helper()
	r := invoke(t, input, args...)
	if r.err != nil {
		t.Fatalf("sluice %s: %v\n%s", strings.Join(args, " "), r.err, r.errs)
	}
	return r
}

// folder makes a directory of files.
func folder(t *testing.T, files map[string]string) string {
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

func same(t *testing.T, what, got, want string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestUsageIsThatOfTheNameItIsCalledBy(t *testing.T) {
	tests := map[string]string{
		"/usr/local/bin/sluice": "sluice", "sluice.exe": "sluice", "/x/kubectl-sluice": "kubectl sluice",
		"flux-sluice": "flux sluice", "kubectl-sluice.exe": "kubectl sluice", "./renamed": "sluice",
	}
	for path, want := range tests {
		if got := displayName(path); got != want {
			t.Errorf("%s is shown as %q, want %q", path, got, want)
		}
	}
	cmd := root("kubectl sluice")
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"explain", "policy", "--help"})
	if err := cmd.ExecuteContext(t.Context()); err != nil || !strings.Contains(out.String(), "\n  kubectl sluice explain policy [NAME]") {
		t.Errorf("error %v, usage:\n%s", err, out.String())
	}
}

func TestWrongUsageIsRefusedWithTheRemedy(t *testing.T) {
	tests := map[string]struct {
		args []string
		want string
	}{
		"a format that does not exist": {[]string{"update", "--policies", "-", "-o", "xml"}, `--output: unknown format "xml"; known: json, yaml, wide`},
		"no policy at all":             {[]string{"explain", "policy"}, "name one of the cluster, or give --file"},
		"a policy without tags":        {[]string{"explain", "policy", "--range", "1.x"}, "needs --tags FILE"},
		"one standard input for two":   {[]string{"explain", "policy", "--file", "-", "--tags", "-"}, "cannot both be standard input"},
		"two rules at once":            {[]string{"explain", "policy", "--range", "1.x", "--numerical", "--tags", "-"}, "none of the others can be"},
		"an order without an order":    {[]string{"explain", "policy", "--range", "1.x", "--order", "asc", "--tags", "-"}, "add --alphabetical or --numerical"},
		"an order that is none":        {[]string{"explain", "policy", "--numerical", "--order", "up", "--tags", "-"}, `unknown order "up"`},
		"an extract without a pattern": {[]string{"explain", "policy", "--numerical", "--extract", "$1", "--tags", "-"}, "add --pattern"},
		"a range that is none":         {[]string{"explain", "policy", "--range", "one", "--tags", "-"}, "spec.policy.semver"},
		"a file that is missing":       {[]string{"update", "--policies", "/nonexistent"}, "--policies: open /nonexistent"},
		"a directory that is missing":  {[]string{"update", "--policies", "-", "--dir", "/nonexistent"}, "--dir: "},
		"no policies flag":             {[]string{"update"}, `required flag(s) "policies" not set`},
		"a name too many":              {[]string{"explain", "automation", "a", "b"}, "accepts 1 arg(s), received 2"},
		"a command that is none":       {[]string{"explain", "everything"}, `unknown command "everything"`},
		"one canary of everywhere":     {[]string{"canary", "get", "podinfo", "-A"}, "leave out -A"},
		"a stream of YAML":             {[]string{"canary", "watch", "-o", "yaml"}, "use json"},
		"the end of all releases":      {[]string{"canary", "watch", "--until-done"}, "needs the NAME"},
		"a verb without a canary":      {[]string{"canary", "abort"}, "accepts 1 arg(s), received 0"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r := invoke(t, "a:b: c:1\n", tc.args...)
			if r.err == nil || !strings.Contains(r.err.Error(), tc.want) {
				t.Errorf("got %v, want %q", r.err, tc.want)
			}
			if r.out != "" {
				t.Errorf("standard output is for data, got %q", r.out)
			}
		})
	}
}

func TestCellsCannotCommandTheTerminal(t *testing.T) {
	var out bytes.Buffer
	o := output{}
	table := table{columns: []string{"A", "B", "C"}, wide: 2, rows: [][]string{{"x\x1b[2Jy\tz\n", "", "hidden"}}}
	if err := o.print(&out, table, nil); err != nil {
		t.Fatal(err)
	}
	same(t, "table", out.String(), "A           B\nx [2Jy z    -\n")
}

func TestWithoutAClusterCommandsSayWhatNamesOne(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "none")
	t.Setenv("KUBECONFIG", empty)
	t.Setenv("HOME", t.TempDir())
	for _, line := range [][]string{{"get", "images"}, {"canary", "get"}, {"explain", "policy", "app"}, {"resume", "automation", "app"}} {
		if r := invoke(t, "", line...); !errors.Is(r.err, errUnconfigured) {
			t.Errorf("sluice %s: %v", strings.Join(line, " "), r.err)
		}
	}
	if r := invoke(t, "", "get", "images", "--server", "http://127.0.0.1:1"); r.err == nil || errors.Is(r.err, errUnconfigured) {
		t.Errorf("with --server: %v", r.err)
	}
}
