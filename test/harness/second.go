// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/client-go/discovery"

	"github.com/sluice-cd/sluice/test/env"
)

// SecondPlayground starts a second playground for one test, for what spans clusters: an API
// server without nodes, with the CRDs of [Installed]. It goes with the test.
func SecondPlayground(tb testing.TB) *Playground {
	tb.Helper()
	root, err := Root()
	if err != nil {
		tb.Fatal(err)
	}
	// Not below the test's own folder: the path of a test is too long for a socket.
	dir, err := os.MkdirTemp("", "sluice-another-")
	if err != nil {
		tb.Fatal(err)
	}
	launcher := func(ctx context.Context, args ...string) {
		tb.Helper()
		out, err := exec.CommandContext(ctx, filepath.Join(root, "bin", "playground"), append(args, "--dir", dir)...).CombinedOutput()
		if err != nil {
			tb.Errorf("playground %s: %v\n%s", args[0], err, out)
		}
	}
	tb.Cleanup(func() {
		launcher(context.Background(), "down")
		_ = os.RemoveAll(dir)
	})
	launcher(tb.Context(), "up", "--node", "none")
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
