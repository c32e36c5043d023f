// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"os/exec"
	"strings"
	"testing"

	"github.com/sluice-cd/sluice/test/chain"
	"github.com/sluice-cd/sluice/test/harness"
)

// TestPeopleDecideFromTheCommandLine gives a release every command that there is,
// and looks at what becomes of it.
func TestPeopleDecideFromTheCommandLine(t *testing.T) {
	c, _ := start(t)
	release := func(tag string) {
		t.Helper()
		if err := c.Release(t.Context(), chain.Release{Tag: tag}); err != nil {
			t.Fatal(err)
		}
		waitForRow(t, c, chain.App+":"+tag+" ")
	}
	verdict := func(tag string, want chain.Outcome) {
		t.Helper()
		if got, err := c.Verdict(t.Context(), tag); err != nil || got != want {
			t.Fatalf("%s was %q, want %q: %v", tag, got, want, err)
		}
	}

	release("1.1.0")
	sluice(t, c, "halt", "the release is halted")
	refused(t, c, "halt", "is halted already by ")
	refused(t, c, "retry", "has not failed")
	sluice(t, c, "pause", "the release is paused")
	sluice(t, c, "approve", "the release goes on")
	refused(t, c, "approve", "is held by nothing")
	sluice(t, c, "abort", "rolled back")
	verdict("1.1.0", chain.RolledBack)
	refused(t, c, "promote", "has no release under way; it is Failed")
	sluice(t, c, "retry", "the revision is analysed again")
	waitForRow(t, c, "Progressing")
	sluice(t, c, "promote", "promoted once its pods are ready")
	verdict("1.1.0", chain.Promoted)

	said := run(t, c, "describe")
	for _, want := range []string{"aborted by ", "promoted by ", "failed by "} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is missing in\n%s", want, said)
		}
	}

	release("1.2.0")
	out := run(t, c, "watch", "--until-done")
	if !strings.Contains(out, "Finalising") || !strings.Contains(out, "Succeeded") {
		t.Errorf("watched\n%s", out)
	}
	verdict("1.2.0", chain.Promoted)
}

// command is `sluice canary VERB podinfo`.
func command(t *testing.T, c *chain.Chain, verb string, flags ...string) *exec.Cmd {
	t.Helper()
	bin, err := harness.Binary()
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{"canary", verb, chain.App, "-n", c.Namespace, "--kubeconfig", c.Kubeconfig}, flags...)
	return exec.CommandContext(t.Context(), bin, args...)
}

func run(t *testing.T, c *chain.Chain, verb string, flags ...string) string {
	t.Helper()
	out, err := command(t, c, verb, flags...).CombinedOutput()
	if err != nil {
		t.Fatalf("sluice canary %s: %v: %s", verb, err, out)
	}
	return string(out)
}

// sluice gives a command that is carried out.
func sluice(t *testing.T, c *chain.Chain, verb, want string) {
	t.Helper()
	if out := run(t, c, verb); !strings.Contains(out, c.Namespace+"/"+chain.App+": "+want) {
		t.Errorf("sluice canary %s: %s", verb, out)
	}
}

// refused gives one that makes no sense.
func refused(t *testing.T, c *chain.Chain, verb, want string) {
	t.Helper()
	if out, err := command(t, c, verb).CombinedOutput(); err == nil || !strings.Contains(string(out), want) {
		t.Errorf("sluice canary %s: %v: %s", verb, err, out)
	}
}

// waitForRow waits until the row of the canary says something.
func waitForRow(t *testing.T, c *chain.Chain, want string) {
	t.Helper()
	harness.MustEventually(t, want, func(context.Context) (bool, string) {
		out := run(t, c, "get")
		return strings.Contains(out, want) && strings.Contains(out, "Progressing"), out
	})
}
