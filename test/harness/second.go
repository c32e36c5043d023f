// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

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
