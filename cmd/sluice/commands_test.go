// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/test/command"
)

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
	cmd := newRoot("kubectl sluice")
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
		"a format that does not exist": {
			[]string{"update", "--policies", "-", "-o", "xml"},
			`--output: unknown format "xml"; known: json, yaml, wide, name`,
		},
		"no policy at all":           {[]string{"explain", "policy"}, "name one of the cluster, or give --file"},
		"a policy without tags":      {[]string{"explain", "policy", "--range", "1.x"}, "needs --tags FILE"},
		"one standard input for two": {[]string{"explain", "policy", "--file", "-", "--tags", "-"}, "cannot both be standard input"},
		"two rules at once": {
			[]string{"explain", "policy", "--range", "1.x", "--numerical", "--tags", "-"},
			"none of the others can be",
		},
		"an order without an order": {
			[]string{"explain", "policy", "--range", "1.x", "--order", "asc", "--tags", "-"},
			"add --alphabetical or --numerical",
		},
		"an order that is none":        {[]string{"explain", "policy", "--numerical", "--order", "up", "--tags", "-"}, `unknown order "up"`},
		"an extract without a pattern": {[]string{"explain", "policy", "--numerical", "--extract", "$1", "--tags", "-"}, "add --pattern"},
		"a range that is none":         {[]string{"explain", "policy", "--range", "one", "--tags", "-"}, "spec.policy.semver.range"},
		"a file that is missing":       {[]string{"update", "--policies", "/nonexistent"}, "--policies: open /nonexistent"},
		"a directory that is missing":  {[]string{"update", "--policies", "-", "--dir", "/nonexistent"}, "--dir: "},
		"no policies flag":             {[]string{"update"}, `required flag(s) "policies" not set`},
		"a name too many": {
			[]string{"explain", "automation", "a", "b"},
			"sluice explain automation needs one NAME, not 2: sluice explain automation NAME [flags]; list them with sluice get automations",
		},
		"a command that is none": {
			[]string{"explain", "everything"},
			`unknown command "everything" for "sluice explain"; known: automation, pipeline, policy`,
		},
		"a list of something else": {
			[]string{"get", "policies"},
			`unknown command "policies" for "sluice get"; known: alerts, all, artifactgenerators, automations, buckets, canaries, ` +
				`externalartifacts, freezes,`,
		},
		"a verb that is none":       {[]string{"canary", "stop"}, `unknown command "stop" for "sluice canary"; known: abort, approve,`},
		"no command of the program": {[]string{"show"}, `unknown command "show" for "sluice"; known: build, canary, controller,`},
		"a file of something else":  {[]string{"update", "--policies", "commands.go"}, "--policies: reading commands.go: "},
		"one canary of everywhere":  {[]string{"canary", "get", "podinfo", "-A"}, "leave out -A"},
		"a stream of YAML":          {[]string{"canary", "watch", "-o", "yaml"}, "use json"},
		"a stream of names":         {[]string{"canary", "watch", "-o", "name"}, "use json"},
		"the end of all releases":   {[]string{"canary", "watch", "--until-done"}, "needs the NAME"},
		"a verb without a canary": {
			[]string{"canary", "abort"},
			"sluice canary abort needs one NAME, not 0: sluice canary abort NAME [flags]; list them with sluice canary get",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r := command.Run(t, newRoot("sluice"), "a:b: c:1\n", tc.args...)
			if r.Err == nil || !strings.Contains(r.Err.Error(), tc.want) {
				t.Errorf("got %v, want %q", r.Err, tc.want)
			}
			if r.Out != "" {
				t.Errorf("standard output is for data, got %q", r.Out)
			}
		})
	}
}

// gitrepositories was known to suspend and to reconcile, and not to get.
func TestAKindIsListedByTheNamesThatItIsSuspendedBy(t *testing.T) {
	root := newRoot("sluice")
	suspend, _, err := root.Find([]string{"suspend"})
	if err != nil {
		t.Fatal(err)
	}
	names, _ := suspend.ValidArgsFunction(suspend, nil, "")
	if len(names) < 10 {
		t.Errorf("suspend offers %v", names)
	}
	for _, name := range append(names, "gitrepository", "gitrepo", "git", "oci", "bucket", "ks", "imagerepo", "imagepol", "iua", "automation",
		"canary", "pipeline", "pl", "receiver", "alert", "provider", "alert-provider") {
		if found, _, err := root.Find([]string{"get", name}); err != nil || found.Name() == "get" {
			t.Errorf("get %s: %v", name, err)
		}
	}
	for line, want := range map[string]string{
		"get source git": "gitrepositories []", "get source ocirepository app": "ocirepositories [app]",
		"get source app": "sources [app]", "get alert-providers": "providers []",
		"get imageupdateautomation": "automations []",
		"get image policy app":      "policy [app]", "get images all": "all []", "get image update": "update []",
		"get images app": "images [app]",
	} {
		found, rest, err := root.Find(strings.Fields(line))
		if got := fmt.Sprint(found.Name(), " ", rest); err != nil || got != want {
			t.Errorf("%s is %s, want %s, %v", line, got, want, err)
		}
	}
}

// resume took a KIND and a NAME only, and not what -o name prints and suspend takes.
func TestResumeNamesObjectsAsSuspendDoes(t *testing.T) {
	url := images(t)
	for _, args := range []string{
		"automation fleet", "automation/fleet", "imageupdateautomation.image.toolkit.fluxcd.io/fleet", "iua/fleet iua/fleet",
		"image update fleet",
	} {
		for _, verb := range []string{"suspend", "resume"} {
			line := append([]string{verb}, strings.Fields(args)...)
			if verb == "resume" {
				line = append(line, "--wait=false") // nobody reconciles it
			}
			r := command.Run(t, newRoot("sluice"), "", append(line, "-n", "apps", "--server", url)...)
			want := strings.TrimSuffix("ImageUpdateAutomation apps/fleet "+verb, "e") + "ed\n"
			if r.Err != nil || !strings.HasPrefix(r.Errors, want) {
				t.Errorf("%s %s: %v, %q", verb, args, r.Err, r.Errors)
			}
		}
	}
}

func TestArgumentsOfVerbsAreCompleted(t *testing.T) {
	url := images(t)
	for line, want := range map[string]string{
		"suspend ":                   "gitrepositories ",
		"reconcile image":            "imageupdateautomations ",
		"resume automation ":         "fleet ",
		"resume automation fleet ":   "",
		"resume automation/":         "automation/fleet ",
		"resume automation/fleet ":   "",
		"tree image policy ":         "app ",
		"tree externalartifact":      "externalartifacts ",
		"suspend externalartifacts ": "",
		"suspend nothing ":           "",
	} {
		args := strings.Split(line, " ")
		args = append([]string{"__completeNoDesc", args[0], "-n", "apps", "--server", url}, args[1:]...)
		r := command.Run(t, newRoot("sluice"), "", args...)
		offered, _, _ := strings.Cut(r.Out, ":")
		found := strings.Contains(strings.ReplaceAll(offered, "\n", " "), want)
		if r.Err != nil || !found || want == "" && offered != "" {
			t.Errorf("%q: %v, %q, want %q", line, r.Err, r.Out, want)
		}
	}
}

func TestWithoutAClusterCommandsSayWhatNamesOne(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "none")
	t.Setenv("KUBECONFIG", empty)
	t.Setenv("HOME", t.TempDir())
	for _, line := range [][]string{{"get", "images"}, {"canary", "get"}, {"explain", "policy", "app"}, {"release", "automation", "app"}} {
		if r := command.Run(t, newRoot("sluice"), "", line...); !errors.Is(r.Err, cluster.ErrUnconfigured) {
			t.Errorf("sluice %s: %v", strings.Join(line, " "), r.Err)
		}
	}
	r := command.Run(t, newRoot("sluice"), "", "get", "images", "--server", "http://127.0.0.1:1")
	if r.Err == nil || errors.Is(r.Err, cluster.ErrUnconfigured) {
		t.Errorf("with --server: %v", r.Err)
	}
}

func TestFlagsAreShownWithTheTypeOfTheirValue(t *testing.T) {
	var check func(cmd *cobra.Command)
	check = func(cmd *cobra.Command) {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			// What is in backquotes replaces the type.
			if name, _ := pflag.UnquoteUsage(f); strings.Contains(name, " ") {
				t.Errorf("%s --%s is shown as --%s %s", cmd.CommandPath(), f.Name, f.Name, name)
			}
		})
		for _, child := range cmd.Commands() {
			check(child)
		}
	}
	check(newRoot("sluice"))
}
