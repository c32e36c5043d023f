// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/client-go/discovery"

	"github.com/sluice-cd/sluice/test/env"
)

// SecondPlayground starts a second playground for one test, for what spans clusters: an API
// server without nodes, with the CRDs of [Installed]. It goes with the test.
func SecondPlayground(tb testing.TB) *Playground {
	tb.Helper()
	// Not below the test's own folder: the path of a test is too long for a socket.
	dir, err := os.MkdirTemp("", "sluice-another-")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		launch(context.Background(), tb, dir, "down")
		_ = os.RemoveAll(dir)
	})
	launch(tb.Context(), tb, dir, "up", "--node", "none")
	found, err := env.Open(dir)
	if err != nil {
		tb.Fatal(err)
	}
	p, err := connect(found)
	if err == nil {
		err = p.Install(tb.Context())
	}
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// launch runs the launcher of playgrounds for the one in a folder.
func launch(ctx context.Context, tb testing.TB, dir string, args ...string) {
	tb.Helper()
	root, err := Root()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := exec.CommandContext(ctx, filepath.Join(root, "bin", "playground"), append(args, "--dir", dir)...).CombinedOutput()
	if err != nil {
		tb.Errorf("playground %s: %v\n%s", args[0], err, out)
	}
}

// SignalAPIServer sends a signal to the API server of a [SecondPlayground]: SIGKILL ends it, SIGSTOP has it take connections and
// say nothing until SIGCONT.
func (p *Playground) SignalAPIServer(tb testing.TB, signal syscall.Signal) {
	tb.Helper()
	var state struct{ Processes map[string]struct{ PID int } }
	text, err := os.ReadFile(filepath.Join(filepath.Dir(p.Kubeconfig), "state.json"))
	if err == nil {
		err = json.Unmarshal(text, &state)
	}
	pid := state.Processes["kube-apiserver"].PID
	if err != nil || pid == 0 {
		tb.Fatalf("no kube-apiserver in %s, %v", text, err)
	}
	if err := syscall.Kill(pid, signal); err != nil {
		tb.Fatal(err)
	}
}

// Revive starts what has ended of a [SecondPlayground], and returns when all is ready.
func (p *Playground) Revive(tb testing.TB) {
	tb.Helper()
	launch(tb.Context(), tb, filepath.Dir(p.Kubeconfig), "up", "--node", p.Node)
}

// LateKind is a [SecondPlayground] without one of Sluice's CRDs, named as its file in
// config/crd/bases, and what applies it: an installation may apply its CRDs one by one.
func LateKind(tb testing.TB, crd string) (p *Playground, apply func()) {
	tb.Helper()
	p = SecondPlayground(tb)
	root, err := Root()
	if err != nil {
		tb.Fatal(err)
	}
	group, plural, _ := strings.Cut(crd, "_")
	late := &apiextensionsv1.CustomResourceDefinition{}
	late.Name = plural + "." + group
	if err := p.Client.Delete(tb.Context(), late); err != nil {
		tb.Fatal(err)
	}
	asks, err := discovery.NewDiscoveryClientForConfig(p.REST)
	if err != nil {
		tb.Fatal(err)
	}
	_, err = Eventually(tb.Context(), "the API server serves no "+plural, Patience, func(context.Context) (bool, string) {
		_, lists, err := asks.ServerGroupsAndResources()
		for _, list := range lists {
			for _, found := range list.APIResources {
				if found.Name == plural && strings.HasPrefix(list.GroupVersion, group+"/") {
					return false, "it still does"
				}
			}
		}
		return err == nil, fmt.Sprint(err)
	})
	if err != nil {
		tb.Fatal(err)
	}
	return p, func() {
		tb.Helper()
		err := p.ApplyFile(tb.Context(), filepath.Join(root, "config", "crd", "bases", crd+".yaml"))
		if err == nil {
			err = p.waitEstablished(tb.Context())
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
}
