// SPDX-License-Identifier: Apache-2.0

package outbound

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"testing"
	"time"

	testingclock "k8s.io/utils/clock/testing"
)

// resolver is a DNS for a test.
type resolver struct {
	names map[string][]netip.Addr
	asked int
}

func (r *resolver) resolve(ctx context.Context, _, host string) ([]netip.Addr, error) {
	r.asked++
	if host == "slow.example" {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if found, ok := r.names[host]; ok {
		return found, nil
	}
	return nil, errors.New("no such host")
}

func addrs(texts ...string) (all []netip.Addr) {
	for _, text := range texts {
		all = append(all, netip.MustParseAddr(text))
	}
	return all
}

var dns = map[string][]netip.Addr{
	"fine.example": addrs("203.0.113.7"), "private.example": addrs("10.0.0.7"),
	"loopback.example": addrs("127.0.0.1"), "mixed.example": addrs("203.0.113.7", "::1"),
	"metadata.example": addrs("169.254.169.254"), "allowed.example": addrs("127.0.0.9"),
}

func TestANameThatResolvesToLoopbackIsRefusedBehindAProxy(t *testing.T) {
	reached := ""
	proxy := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { reached = r.URL.Host }))
	defer proxy.Close()
	at, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("HTTP_PROXY", proxy.URL)
	// The proxies of the environment may be anywhere, so that a user may name one, too.
	guard := NewGuard([]netip.Prefix{netip.MustParsePrefix("127.0.0.9/32")})
	guard.names.resolve = (&resolver{names: dns}).resolve
	users, operators := guard.Transport(), guard.Transport()
	users.Proxy = guard.proxyOr(at)
	for host, fine := range map[string]bool{
		"fine.example": true, "private.example": true, "allowed.example": true, "unknown.example": true, "slow.example": true,
		"loopback.example": false, "Loopback.Example.": false, "mixed.example": false, "metadata.example": false,
		"localhost": false, "web.localhost": false, "127.0.0.1": false,
	} {
		for whose, transport := range map[string]*http.Transport{"the user's proxy": users, "the operator's proxy": operators} {
			reached = ""
			resp, err := (&http.Client{Transport: transport}).Get("http://" + host + "/")
			if err == nil {
				_ = resp.Body.Close()
			}
			if fine != (err == nil) || fine != (reached != "") || !fine && !errors.Is(err, ErrForbiddenAddress) {
				t.Errorf("%s behind %s: error %v, and the proxy was asked for %q", host, whose, err, reached)
			}
		}
	}
}

func TestANameIsLookedUpOnceAMinute(t *testing.T) {
	r := &resolver{names: dns}
	clk := testingclock.NewFakePassiveClock(time.Now())
	guard := NewGuard(nil)
	guard.names.clock, guard.names.resolve = clk, r.resolve
	check := func(ctx context.Context, host string, fine bool, want int) {
		t.Helper()
		if err := guard.CheckProxied(ctx, &url.URL{Host: host}); fine != (err == nil) || r.asked != want {
			t.Errorf("%s: error %v after %d questions, want %d", host, err, r.asked, want)
		}
	}
	ended, end := context.WithCancel(t.Context())
	end()
	check(ended, "slow.example", true, 1)
	check(t.Context(), "slow.example", true, 2) // nothing was found out before
	check(t.Context(), "slow.example", true, 2)
	check(t.Context(), "loopback.example", false, 3)
	check(t.Context(), "loopback.example", false, 3)
	r.names = map[string][]netip.Addr{"loopback.example": addrs("203.0.113.7")}
	clk.SetTime(clk.Now().Add(lookUpTTL))
	check(t.Context(), "loopback.example", true, 4)
}
