// SPDX-License-Identifier: Apache-2.0

// Package vscode replays what the GitOps Tools extension of VS Code (weaveworks/vscode-gitops-tools v0.27.0) has its
// shell run, against a playground where Sluice serves, and reads the answers as it reads them.
//
//	the extension's calls --> kubectl, flux --> kube-apiserver <-- sluice controller
//
// The extension has no client of Kubernetes: all that it shows and does is a call of kubectl or of the unmodified Flux CLI.
// A call that fails is a popup, and an object that it cannot read empties a whole tree.
package vscode

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/sluice-cd/sluice/test/harness"
)

// second is the name of a context that leads to the same cluster: the extension switches between contexts.
const second = "second"

// shell is that of the extension, with a home folder and a kubeconfig of its own.
type shell struct {
	*harness.Playground
	flux       string // path of the CLI
	home       string
	kubeconfig string
}

func newShell(t *testing.T, p *harness.Playground) *shell {
	t.Helper()
	s := &shell{Playground: p, flux: harness.RequireUpstream(t, "flux"), home: t.TempDir()}
	config, err := clientcmd.LoadFromFile(p.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	config.Contexts[second] = config.Contexts[config.CurrentContext].DeepCopy()
	s.kubeconfig = filepath.Join(s.home, "config")
	if err := clientcmd.WriteToFile(*config, s.kubeconfig); err != nil {
		t.Fatal(err)
	}
	return s
}

// said is what a command said.
type said struct {
	out, err string
	code     int
}

// exec runs a command line of flux, kubectl or git, split at spaces.
func (s *shell) exec(t *testing.T, line string) said {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	defer cancel()
	words := strings.Fields(line)
	program := words[0]
	switch program {
	case "flux":
		program = s.flux
	case "kubectl":
		program = s.Kubectl
	}
	cmd := exec.CommandContext(ctx, program, words[1:]...)
	// flux check asks the world for a newer version of itself. Loopback is never asked through a proxy.
	cmd.Env = []string{"KUBECONFIG=" + s.kubeconfig, "HOME=" + s.home, "PATH=" + os.Getenv("PATH"), "HTTPS_PROXY=http://127.0.0.1:1"}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("running %s: %v", line, err)
	}
	return said{out: stdout.String(), err: stderr.String(), code: cmd.ProcessState.ExitCode()}
}

// works demands that a command succeeds.
func (s *shell) works(t *testing.T, line string) said {
	t.Helper()
	said := s.exec(t, line)
	if said.code != 0 {
		t.Fatalf("%s: exit code %d\n%s%s", line, said.code, said.out, said.err)
	}
	return said
}

// read decodes the JSON that a command prints, as the extension does: into what it knows, and whatever else there is.
func (s *shell) read(t *testing.T, into any, line string) {
	t.Helper()
	if err := json.Unmarshal([]byte(s.works(t, line).out), into); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
}
