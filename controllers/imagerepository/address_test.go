// SPDX-License-Identifier: Apache-2.0

package imagerepository

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/outbound"
	"github.com/sluice-cd/sluice/internal/registry"
	"github.com/sluice-cd/sluice/scan"
)

func TestAForbiddenAddressWasTriedForEver(t *testing.T) {
	local := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	tests := map[string]struct {
		image    string
		allow    []netip.Prefix
		terminal bool
	}{
		"the metadata of a cloud":            {image: "169.254.169.254/app", terminal: true},
		"a port of it":                       {image: "169.254.169.254:8080/app", terminal: true},
		"a link-local address":               {image: "169.254.1.2:5000/app", terminal: true},
		"a loopback address":                 {image: "127.0.0.1:5000/app", terminal: true},
		"an address without a host":          {image: "0.0.0.0:5000/app", terminal: true},
		"another one than --allow-addresses": {image: "169.254.169.254/app", allow: local, terminal: true},
		"the name of a loopback address":     {image: "localhost:1/app", terminal: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.Registry = registry.NewClient(f.clock, registry.WithGuard(outbound.NewGuard(tc.allow)))
			f.restart(scan.NewStore())
			f.repo.Spec.Image = tc.image
			_, err := f.reconcile(t)
			if err == nil || !errors.Is(err, outbound.ErrForbiddenAddress) {
				t.Fatalf("got %v", err)
			}
			if n := strings.Count(err.Error(), outbound.ErrForbiddenAddress.Error()); n != 1 {
				t.Errorf("it is told %d times: %v", n, err)
			}
			if got := errors.Is(err, reconcile.TerminalError(nil)); got != tc.terminal {
				t.Errorf("terminal: %v, want %v", got, tc.terminal)
			}
			if !tc.terminal {
				return
			}
			if f.Reason(err) != imagev1.ImageURLInvalidReason || !strings.Contains(err.Error(), "spec.image: ") {
				t.Errorf("reason %s with %v", f.Reason(err), err)
			}
		})
	}
	f := newFixture(t, "1")
	f.Registry = registry.NewClient(f.clock, registry.WithGuard(outbound.NewGuard(local)))
	f.restart(scan.NewStore())
	if _, err := f.reconcile(t); err != nil {
		t.Errorf("what is allowed: %v", err)
	}
}
