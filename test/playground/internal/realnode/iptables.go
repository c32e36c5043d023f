// SPDX-License-Identifier: Apache-2.0

package realnode

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// ours begins the names of chains that are Kubernetes'.
const ours = "KUBE-"

// firewalls are the programs that hold rules, by IP version.
var firewalls = []string{"iptables", "ip6tables"}

// otherNode reports chains that somebody else's kubelet or kube-proxy made.
func otherNode(ctx context.Context) error {
	for _, firewall := range firewalls {
		rules, err := savedRules(ctx, firewall)
		if err != nil {
			return err
		}
		if undo := undoRules(rules); undo != "" {
			return fmt.Errorf("this machine already is a Kubernetes node: %s has %s* chains. "+
				"If no other playground or cluster runs here they are a leftover; to remove them: "+
				"%[1]s-save | grep -v %[2]s | %[1]s-restore", firewall, ours)
		}
	}
	return nil
}

// removeRules removes every chain that kube-proxy and kubelet made.
func removeRules(ctx context.Context) error {
	var errs []error
	for _, firewall := range firewalls {
		rules, err := savedRules(ctx, firewall)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		undo := undoRules(rules)
		if undo == "" {
			continue
		}
		cmd := exec.CommandContext(ctx, firewall+"-restore", "--noflush")
		cmd.Stdin = strings.NewReader(undo)
		if out, err := cmd.CombinedOutput(); err != nil {
			errs = append(errs, fmt.Errorf("removing %s chains: %w: %s", firewall, err, out))
		}
	}
	return errors.Join(errs...)
}

func savedRules(ctx context.Context, firewall string) (string, error) {
	if _, err := exec.LookPath(firewall + "-save"); err != nil {
		return "", nil
	}
	out, err := exec.CommandContext(ctx, firewall+"-save").Output()
	if err != nil {
		return "", fmt.Errorf("reading the rules of %s: %w", firewall, err)
	}
	return string(out), nil
}

// undoRules turns the output of iptables-save into an input of
// iptables-restore --noflush that removes all our chains and every rule of
// others that jumps to one. It is empty if there are none.
func undoRules(saved string) string {
	var undo strings.Builder
	var flush, remove, drop []string
	for line := range strings.Lines(saved) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "*"):
			flush, remove, drop = []string{line}, nil, nil
		case strings.HasPrefix(line, ":"+ours):
			chain := strings.Fields(line[1:])[0]
			flush = append(flush, ":"+chain+" - [0:0]") // declaring a chain empties it
			remove = append(remove, "-X "+chain)
		case strings.HasPrefix(line, "-A ") && !strings.HasPrefix(line, "-A "+ours) && jumpsToOurs(line):
			drop = append(drop, "-D "+strings.TrimPrefix(line, "-A "))
		case line == "COMMIT" && len(remove)+len(drop) > 0:
			all := append(append(append(flush, drop...), remove...), "COMMIT")
			undo.WriteString(strings.Join(all, "\n") + "\n")
		}
	}
	return undo.String()
}

func jumpsToOurs(rule string) bool {
	return strings.Contains(rule, " -j "+ours) || strings.Contains(rule, " -g "+ours)
}
