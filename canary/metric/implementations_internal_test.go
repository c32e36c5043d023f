// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"testing"
	"time"

	"github.com/sluice-cd/sluice/canary/provider"
)

// The controller of a gateway wrote the status of a route anew: for a moment nobody had accepted it, other proxies were asked, and
// all evidence of the judge was lost.
func TestWhoCarriedARouteIsAskedWhileItsStatusIsWrittenAnew(t *testing.T) {
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	contour, traefik := provider.Implementation{Product: "Contour"}, provider.Implementation{Product: "Traefik"}
	var k lastImplementations
	for i, step := range []struct {
		after    time.Duration
		accepted []provider.Implementation
		want     string
	}{
		{0, nil, ""},
		{0, []provider.Implementation{contour}, "Contour"},
		{time.Minute, nil, "Contour"},
		{time.Minute, []provider.Implementation{contour, traefik}, "Contour"},
		{9 * time.Minute, []provider.Implementation{contour, traefik}, "Contour and Traefik"},
		{0, []provider.Implementation{traefik}, "Traefik"},
		{time.Minute, nil, "Traefik"},
		{11 * time.Minute, nil, ""},
	} {
		now = now.Add(step.after)
		if got := products(k.current("apps/shop shop", step.accepted, now)); got != step.want {
			t.Errorf("step %d: asks %q, want %q", i, got, step.want)
		}
	}
}
