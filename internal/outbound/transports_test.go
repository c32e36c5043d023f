// SPDX-License-Identifier: Apache-2.0

package outbound

import (
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/sluice-cd/sluice/internal/keysize/keysizetest"
)

func TestConnectionsAreSharedByThoseWhoHaveTheSameSettings(t *testing.T) {
	all := NewTransports(nil)
	of := func(s Settings) *http.Transport {
		t.Helper()
		transport, err := all.For(s)
		if err != nil {
			t.Fatal(err)
		}
		return transport
	}
	plain, proxied := of(Settings{}), of(Settings{Proxy: "http://proxy.example:3128"})
	if plain == proxied || plain != of(Settings{}) || proxied != of(Settings{Proxy: "http://proxy.example:3128"}) {
		t.Error("a transport is shared with other settings, or made again for the same")
	}
}

func owners(of *Transports) int {
	_, n := of.owned.Usage()
	return n
}

func TestATransportGoesWithTheLastOfItsOwners(t *testing.T) {
	all := NewTransports(nil)
	of := func(owner string, s Settings) *http.Transport {
		t.Helper()
		transport, err := all.ForOwner(owner, s)
		if err != nil {
			t.Fatal(err)
		}
		return transport
	}
	anybodys := of("a", Settings{})
	private := Settings{Proxy: "http://proxy.example:3128"}
	shared := of("a", private)
	if of("b", private) != shared {
		t.Error("two owners of the same settings have two transports")
	}
	of("a", Settings{})
	if of("b", private) != shared {
		t.Error("the transport went with the first of its owners")
	}
	of("b", Settings{Proxy: "http://other.example:3128"})
	if of("c", private) == shared {
		t.Error("the transport outlives its owners")
	}
	all.Forget("b")
	all.Forget("c")
	if owners(all) != 0 || all.Len() != 1 || of("d", Settings{}) != anybodys {
		t.Errorf("%d transports are kept for %d owners; what is of no Secret stays", all.Len(), owners(all))
	}
}

func TestTheTransportsThatWereUsedLastAreKept(t *testing.T) {
	all := NewTransports(nil)
	get := func(i int) *http.Transport {
		t.Helper()
		transport, err := all.ForOwner(fmt.Sprint(i), Settings{Proxy: fmt.Sprintf("http://proxy-%d.example", i)})
		if err != nil {
			t.Fatal(err)
		}
		return transport
	}
	used, unused := get(0), get(1)
	for i := range maxTransports {
		get(i + 2)
		if get(0) != used {
			t.Fatalf("a transport in use is made again after %d others", i)
		}
	}
	if n := all.Len(); n != maxTransports || owners(all) != n {
		t.Errorf("%d transports of %d owners are kept, want %d", n, owners(all), maxTransports)
	}
	if get(1) == unused {
		t.Error("the transport that was used longest ago is kept")
	}
}

func TestCertificatesAndProxiesAreLeftOutWhereThatIsSaid(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	for name, tc := range map[string]struct {
		settings Settings
		trusted  bool
	}{
		"nothing is said":                     {Settings{}, false},
		"any certificate":                     {Settings{Insecure: true}, true},
		"any certificate, beside one":         {Settings{Insecure: true, CA: ca}, true},
		"any certificate, and no proxy":       {Settings{Insecure: true, Direct: true}, true},
		"no proxy, which says nothing of TLS": {Settings{Direct: true}, false},
	} {
		all := NewTransports(nil)
		all.IdlePerHost = 7
		transport, err := all.For(tc.settings)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := NewClient(transport, Rules{}).Get(server.URL)
		if err == nil {
			_ = resp.Body.Close()
		}
		if (err == nil) != tc.trusted || (transport.Proxy == nil) != tc.settings.Direct || transport.MaxIdleConnsPerHost != 7 {
			t.Errorf("%s: got %v; a proxy: %v", name, err, transport.Proxy != nil)
		}
	}
}

func TestSettingsOfASecretAreTrusted(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	for name, tc := range map[string]struct {
		settings Settings
		guard    *Guard
		ok       bool
	}{
		"the CA of the Secret":               {Settings{CA: ca}, nil, true},
		"no CA":                              {Settings{}, nil, false},
		"the CA of the Secret, by a guard":   {Settings{CA: ca}, NewGuard(nil), false},
		"an address that the guard allows":   {Settings{CA: ca}, NewGuard([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}), true},
		"a proxy to which the guard says no": {Settings{CA: ca, Proxy: "http://127.0.0.1:1"}, NewGuard(nil), false},
	} {
		t.Run(name, func(t *testing.T) {
			transport, err := NewTransports(tc.guard).For(tc.settings)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := (&http.Client{Transport: transport}).Get(server.URL)
			if err == nil {
				_ = resp.Body.Close()
			}
			if (err == nil) != tc.ok {
				t.Errorf("got %v", err)
			}
			if tc.guard != nil && !tc.ok && !errors.Is(err, ErrForbiddenAddress) {
				t.Errorf("got %v, want a forbidden address", err)
			}
		})
	}
}

func TestSettingsThatCannotWorkNameTheirKeysAndNoValues(t *testing.T) {
	for name, tc := range map[string]struct {
		settings Settings
		want     string
	}{
		"a CA that is none":                 {Settings{CA: "hidden"}, "'ca.crt'"},
		"a CA with a key that is too large": {Settings{CA: string(keysizetest.PEM(t, keysizetest.Key(1<<17)))}, "the key is too large"},
		"half of a pair":                    {Settings{Cert: "hidden"}, "'tls.crt' and 'tls.key'"},
		"a proxy that is no URL":            {Settings{Proxy: "http://user:hidden@[::1"}, "the proxy: it is no URL"},
		"a proxy that is without a host":    {Settings{Proxy: "hidden"}, "the proxy: it is no URL"},
		"a proxy of another kind":           {Settings{Proxy: "ftp://user:hidden@proxy.example"}, "the proxy: the scheme is none of"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewTransports(nil).For(tc.settings)
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hidden") {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}
