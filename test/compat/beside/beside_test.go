// SPDX-License-Identifier: Apache-2.0

// Package beside runs Sluice beside Flux's own controllers, unmodified.
//
// Whoever serves which part of the chain, an image that was pushed has to reach the
// cluster although every interval is an hour and nobody sends a webhook: what Sluice
// does not serve, it asks. The Flux release has no other way either to learn of a
// commit before the interval of the GitRepository is over.
package beside

import (
	"context"
	"testing"
	"time"

	"github.com/sluice-cd/sluice/test/chain"
	"github.com/sluice-cd/sluice/test/harness"
)

func TestTheChainNeedsNoIntervalWhoeverServesWhichPart(t *testing.T) {
	p := harness.Installed(t)
	remove, err := p.InstallFlux(t.Context(), "source-controller", "kustomize-controller")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { remove(context.Background()) })
	for name, tc := range map[string]struct {
		flux   []string // Flux's controllers
		sluice []string // --controllers, for each process
	}{
		"Flux fetches and applies":          {[]string{"source-controller", "kustomize-controller"}, []string{"image,canary"}},
		"Flux fetches":                      {[]string{"source-controller"}, []string{"image,kustomize,canary"}},
		"Flux applies":                      {[]string{"kustomize-controller"}, []string{"image,source,canary"}},
		"another process of Sluice does it": {nil, []string{"image", "source,kustomize"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := chain.SetupPlain(t.Context(), p, p.NewNamespace(t, "beside-", nil), t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			processes := start(t, c, tc.flux, tc.sluice)
			applied := func(tag string) {
				t.Helper()
				took, err := c.Applied(t.Context(), tag)
				if err != nil {
					for _, process := range processes {
						t.Logf("%s:\n%s", process.Log(), process.Tail(3000))
					}
					t.Fatal(err)
				}
				t.Logf("%s was applied after %s", tag, took.Round(time.Millisecond))
			}
			applied(chain.First)
			for _, tag := range []string{"1.1.0", "1.2.0"} {
				if err := c.Release(t.Context(), tag); err != nil {
					t.Fatal(err)
				}
				applied(tag)
			}
		})
	}
}

// start starts controllers of Flux, and one process of Sluice for each set of groups.
func start(t *testing.T, c *chain.Plain, flux, sluice []string) []*harness.Process {
	t.Helper()
	var processes []*harness.Process
	keep := func(process *harness.Process, err error) {
		if err != nil {
			t.Fatal(err)
		}
		processes = append(processes, process)
		t.Cleanup(process.Stop)
	}
	for _, name := range flux {
		keep(c.StartFlux(t.Context(), name, c.Namespace, t.TempDir()))
	}
	for _, groups := range sluice {
		controller, err := c.StartController(t.Context(), t.TempDir(), "--controllers", groups, "--watch-namespace", c.Namespace)
		if err != nil {
			t.Fatal(err)
		}
		keep(controller.Process, nil)
	}
	return processes
}
