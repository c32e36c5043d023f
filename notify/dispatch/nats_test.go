// SPDX-License-Identifier: Apache-2.0

package dispatch_test

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"

	"github.com/sluice-cd/sluice/api/notification/v1beta3"
	"github.com/sluice-cd/sluice/internal/outbound"
	"github.com/sluice-cd/sluice/notify/dispatch"
	builder "github.com/sluice-cd/sluice/test/make"
)

// broker speaks as much of the protocol of NATS as a publisher needs, and returns its
// address and what it was sent.
// See https://docs.nats.io/reference/reference-protocols/nats-protocol.
func broker(t *testing.T) (address string, lines <-chan string) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	sent := make(chan string, 100)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = fmt.Fprint(conn, "INFO {\"server_id\":\"1\",\"version\":\"2.10.0\",\"max_payload\":1048576,\"headers\":true}\r\n")
		scanner := bufio.NewScanner(conn)
		for scanner.Scan() {
			sent <- scanner.Text()
			if scanner.Text() == "PING" {
				_, _ = fmt.Fprint(conn, "PONG\r\n")
			}
		}
		close(sent)
	}()
	return "nats://" + listener.Addr().String(), sent
}

func TestNATS(t *testing.T) {
	address, lines := broker(t)
	secret := builder.Secret("apps", "s", map[string]string{"username": "flux", "password": "hush-hush"})
	b := newTestEnv(t, nil, secret, alert(), provider(address, func(p *v1beta3.Provider) {
		p.Spec.Type, p.Spec.Channel, p.Spec.SecretRef = "nats", "flux.events", &meta.LocalObjectReference{Name: "s"}
	}))
	b.Take(t.Context(), event("done"))
	b.deliver(t)
	all := ""
	for line := range lines {
		all += line + "\n"
	}
	for _, want := range []string{`"user":"flux"`, `"pass":"hush-hush"`, "PUB flux.events ", `"message":"done"`} {
		if !strings.Contains(all, want) {
			t.Errorf("%s was not sent: %s; %v", want, all, b.told.all)
		}
	}
}

func TestNATSIsNotReachedWhereTheGuardForbids(t *testing.T) {
	address, _ := broker(t)
	b := newTestEnv(t, func(o *dispatch.Options) { o.Guard = outbound.NewGuard(nil) }, alert(),
		provider(address, func(p *v1beta3.Provider) { p.Spec.Type, p.Spec.Channel = "nats", "flux.events" }))
	b.Take(t.Context(), event("done"))
	b.deliver(t)
	if len(b.told.all) != 1 || !strings.Contains(b.told.all[0], "forbidden address") {
		t.Errorf("told %v", b.told.all)
	}
}
