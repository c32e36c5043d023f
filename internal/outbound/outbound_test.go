// SPDX-License-Identifier: Apache-2.0

package outbound

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

func TestAddressesThatObjectsMayPointTo(t *testing.T) {
	g := NewGuard([]netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")})
	for name, tc := range map[string]struct {
		host string
		want string // part of the error; empty is allowed
	}{
		"a public address":                                 {"8.8.8.8", ""},
		"a private address, as Services have":              {"10.96.0.10", ""},
		"a private IPv6 address":                           {"fd12::1", ""},
		"a name is looked at when it is dialed":            {"registry.example", ""},
		"loopback by its name":                             {"localhost", "localhost (127.0.0.1) is a loopback address"},
		"loopback by its name, spelled otherwise":          {"LocalHost.", "a loopback address"},
		"all names below that of loopback":                 {"registry.localhost", "a loopback address"},
		"loopback by the name that Red Hat gives it":       {"localhost.localdomain", "a loopback address"},
		"loopback over IPv6 by its name":                   {"ip6-localhost", "a loopback address"},
		"a name that ends alike":                           {"notlocalhost", ""},
		"loopback":                                         {"127.0.0.1", "a loopback address"},
		"any address of the loopback range":                {"127.8.9.10", "a loopback address"},
		"what the operator allows":                         {"127.0.0.2", ""},
		"what the operator allows, mapped into IPv6":       {"::ffff:127.0.0.2", ""},
		"loopback over IPv6":                               {"::1", "a loopback address"},
		"loopback mapped into IPv6":                        {"::ffff:127.0.0.1", "a loopback address"},
		"loopback behind NAT64":                            {"64:ff9b::7f00:1", "a loopback address"},
		"the metadata service behind a local NAT64":        {"64:ff9b:1::a9fe:a9fe", "metadata"},
		"the metadata service behind 6to4":                 {"2002:a9fe:a9fe::1", "metadata"},
		"a public address behind 6to4":                     {"2002:808:808::1", ""},
		"loopback as an IPv4-compatible address":           {"::127.0.0.1", "a loopback address"},
		"loopback as one decimal number":                   {"2130706433", "a loopback address"},
		"loopback as one hexadecimal number":               {"0x7f000001", "a loopback address"},
		"loopback with an octal number":                    {"0177.0.0.1", "a loopback address"},
		"loopback in digits of another script":             {"\uff11\uff12\uff17.0.0.1", "a loopback address"},
		"loopback in circled digits":                       {"\u2460\u2461\u2466.\u24ea.\u24ea.\u2460", "a loopback address"},
		"loopback with dots of another script":             {"127\u30020\u30020\u30021", "a loopback address"},
		"loopback by its name in full-width letters":       {"\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54", "a loopback address"},
		"the metadata service with dots of another script": {"metadata\uff0egoogle\uff61internal", "metadata"},
		"a name of another script":                         {"b\u00fccher.example", ""},
		"loopback translated into IPv6":                    {"::ffff:0:127.0.0.1", "a loopback address"},
		"loopback in two numbers":                          {"127.1", "a loopback address"},
		"loopback with a dot behind it":                    {"127.0.0.1.", "a loopback address"},
		"the metadata service as one number":               {"2852039166", "metadata"},
		"the metadata service of Google by its name":       {"Metadata.Google.internal.", "metadata"},
		"the metadata service of AWS by its name":          {"instance-data.ec2.internal", "metadata"},
		"a public address as one number":                   {"134744072", ""},
		"a number that is no address":                      {"4294967296", ""},
		"a name with a number in front":                    {"1.registry.example", ""},
		"a name of hexadecimal digits":                     {"0xcafe.example", ""},
		"this host":                                        {"0.0.0.0", "without a host"},
		"this network":                                     {"0.1.2.3", "without a host"},
		"this host over IPv6":                              {"::", "without a host"},
		"broadcast":                                        {"255.255.255.255", "without a host"},
		"link-local":                                       {"169.254.1.1", "a link-local address"},
		"link-local over IPv6, with a zone":                {"fe80::1%eth0", "a link-local address"},
		"multicast":                                        {"239.1.1.1", "a multicast address"},
		"the metadata service of AWS, Google and Azure":    {"169.254.169.254", "metadata"},
		"the metadata service of AWS over IPv6":            {"fd00:ec2::254", "metadata"},
		"the metadata service of Google over IPv6":         {"fd20:ce::254", "metadata"},
		"the metadata service of Alibaba":                  {"100.100.100.200", "metadata"},
		"the wire server of Azure":                         {"168.63.129.16", "metadata"},
		"the metadata service behind NAT64":                {"64:ff9b::a9fe:a9fe", "metadata"},
		"the metadata service mapped into IPv6":            {"::ffff:169.254.169.254", "metadata"},
	} {
		t.Run(name, func(t *testing.T) {
			err := g.CheckURL(&url.URL{Scheme: "http", Host: net.JoinHostPort(tc.host, "80")})
			if tc.want == "" && err != nil || tc.want != "" && (!errors.Is(err, ErrForbiddenAddress) || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestANameThatResolvesToLoopbackIsRefusedWhenDialed(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	byName := strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	client := http.Client{Transport: NewGuard(nil).Transport()}
	resp, err := client.Get(byName)
	if err == nil {
		_ = resp.Body.Close()
	}
	if !errors.Is(err, ErrForbiddenAddress) {
		t.Fatalf("got %v, want a forbidden address", err)
	}
	// localhost is refused before it is dialed; other names are not.
	conn, err := NewGuard(nil).DialContext(t.Context(), "tcp", strings.TrimPrefix(byName, "http://"))
	if err == nil {
		_ = conn.Close()
	}
	if !errors.Is(err, ErrForbiddenAddress) {
		t.Fatalf("dialed: got %v, want a forbidden address", err)
	}
	allowing := http.Client{Transport: NewGuard([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}).Transport()}
	if resp, err = allowing.Get(byName); err != nil {
		t.Fatalf("an allowed range is refused: %v", err)
	}
	_ = resp.Body.Close()
}

func TestARedirectToLoopbackIsRefused(t *testing.T) {
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the server inside was reached")
	}))
	defer inside.Close()
	// What the guard allows is the address of the first server alone.
	listener, err := net.Listen("tcp", "127.0.0.3:0")
	if err != nil {
		t.Skipf("no second loopback address here: %v", err)
	}
	outside := httptest.NewUnstartedServer(http.RedirectHandler(inside.URL, http.StatusFound))
	outside.Listener = listener
	outside.Start()
	defer outside.Close()
	client := http.Client{Transport: NewGuard([]netip.Prefix{netip.MustParsePrefix("127.0.0.3/32")}).Transport()}
	resp, err := client.Get(outside.URL)
	if err == nil {
		_ = resp.Body.Close()
	}
	if !errors.Is(err, ErrForbiddenAddress) {
		t.Fatalf("got %v, want a forbidden address", err)
	}
}

func TestProxies(t *testing.T) {
	proxied := ""
	proxy := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { proxied = r.URL.String() }))
	defer proxy.Close()
	at, _ := url.Parse(proxy.URL)
	get := func(transport *http.Transport, address string) error {
		proxied = ""
		resp, err := (&http.Client{Transport: transport}).Get(address)
		if err == nil {
			_ = resp.Body.Close()
		}
		return err
	}

	users := NewGuard(nil)
	transport := users.Transport()
	transport.Proxy = users.proxyOr(at)
	if err := get(transport, "http://registry.example/v2/"); !errors.Is(err, ErrForbiddenAddress) || proxied != "" {
		t.Errorf("a user's proxy at a loopback address: got %v, want a forbidden address", err)
	}

	t.Setenv("HTTP_PROXY", proxy.URL)
	operators := NewGuard(nil).Transport()
	if err := get(operators, "http://registry.example/v2/"); err != nil || proxied != "http://registry.example/v2/" {
		t.Errorf("the operator's proxy at a loopback address: got %v and %q", err, proxied)
	}
	if err := get(operators, "http://169.254.169.254/latest/meta-data"); !errors.Is(err, ErrForbiddenAddress) || proxied != "" {
		t.Errorf("a forbidden address behind the operator's proxy: got %v, and it was asked for %q", err, proxied)
	}
}

func TestTheWordsOfAProxyAreNotQuoted(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = conn.Write([]byte("HTTP/1.1 403 hunter2\r\nContent-Length: 0\r\n\r\n"))
		_ = conn.Close()
	}))
	defer proxy.Close()
	at, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	transport := NewGuard([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}).Transport()
	transport.Proxy = http.ProxyURL(at)
	resp, err := (&http.Client{Transport: transport}).Get("https://registry.example/")
	if err == nil {
		_ = resp.Body.Close()
	}
	if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), at.Host+" answers 403 Forbidden") {
		t.Errorf("got %v", err)
	}
}

func TestANilGuardForbidsNothing(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	var g *Guard
	resp, err := (&http.Client{Transport: g.Transport()}).Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if err := g.CheckURL(&url.URL{Host: "127.0.0.1"}); err != nil {
		t.Error(err)
	}
}
