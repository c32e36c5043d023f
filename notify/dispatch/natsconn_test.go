// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nkeys"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-cd/sluice/api/notification/v1beta3"
	"github.com/sluice-cd/sluice/notify/message"
	"github.com/sluice-cd/sluice/notify/outbox"
)

// natsServer lets serve have one connection, and returns what it is sent, and its Provider.
func natsServer(t *testing.T, serve func(net.Conn)) *resolvedProvider {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { _ = listener.Close(); <-done })
	go func() {
		defer close(done)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		serve(conn)
	}()
	return &resolvedProvider{
		provider: &v1beta3.Provider{Spec: v1beta3.ProviderSpec{Type: "nats", Timeout: &metav1.Duration{Duration: 2 * time.Second}}},
		target:   message.Target{Address: "nats://" + listener.Addr().String(), Channel: "flux.events"},
	}
}

// script says info, and the nth answer to the nth PING. It returns all that it was sent.
func script(info string, answers ...string) func(net.Conn) []string {
	return func(conn net.Conn) []string {
		var sent []string
		_, _ = io.WriteString(conn, info)
		lines := bufio.NewScanner(conn)
		for lines.Scan() {
			sent = append(sent, lines.Text())
			if lines.Text() == "PING" && len(answers) > 0 {
				_, _ = io.WriteString(conn, answers[0])
				answers = answers[1:]
			}
		}
		return sent
	}
}

// What a server says that a tenant names crashed the process by the reader of nats.go, in
// a goroutine of its own, and again at each start.
func TestAServerOfNATSCannotCrashNorFloodAPublisher(t *testing.T) {
	const info, pong = "INFO {\"max_payload\":1048576}\r\n", "PONG\r\n"
	for name, tc := range map[string]struct {
		info    string
		answers []string
		want    string // of the error; empty is none
		final   bool
	}{
		"a server that takes it":             {info, []string{pong, "+OK\r\nPING\r\nINFO {}\r\n" + pong}, "", false},
		"a message of nine exabytes":         {info, []string{"MSG a 1 9000000000000000000\r\n"}, errNATS.Error(), false},
		"a message with the acknowledgement": {info, []string{pong, "MSG a 1 9000000000000000000\r\n" + pong}, errNATS.Error(), false},
		"an INFO without an end":             {"INFO {" + strings.Repeat(" ", maxInfo), nil, "not within 64 KiB", false},
		"a line without an end":              {info, []string{"+OK " + strings.Repeat("x", maxLine)}, errNATS.Error(), false},
		"lines without an end":               {info, []string{strings.Repeat("+OK\r\n", maxInfo)}, "did not answer", false},
		"no INFO":                            {"HTTP/1.1 400 Bad Request\r\n", nil, "does not speak", false},
		"an INFO that is no JSON":            {"INFO hush\r\n", nil, "does not speak", false},
		"words before TLS":                   {info + pong, nil, errNATS.Error(), false},
		"a credential that it refuses":       {info, []string{"-ERR 'Authorization Violation'\r\n"}, "the credential", true},
		"a subject that it refuses": {info, []string{pong, "-ERR 'Permissions Violation for Publish to \"hush\"'\r\n"}, "spec.channel",
			true},
		"an error of another sort": {info, []string{"-ERR 'hush'\r\n"}, "answers with an error", false},
		"a small max_payload":      {"INFO {\"max_payload\":10}\r\n", []string{pong}, "takes 10", true},
	} {
		t.Run(name, func(t *testing.T) {
			serve := script(tc.info, tc.answers...)
			to := natsServer(t, func(conn net.Conn) { serve(conn) })
			err := (&Dispatcher{}).publish(t.Context(), to, message.Event{})
			var temporary *outbox.Temporary
			switch {
			case tc.want == "" && err == nil:
			case tc.want == "" || err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hush"):
				t.Errorf("got %v, want %q", err, tc.want)
			case errors.As(err, &temporary) == tc.final:
				t.Errorf("%v: final is to be %v", err, tc.final)
			}
		})
	}
}

func TestNATSWaitsNoLongerThanTheTimeout(t *testing.T) {
	to := natsServer(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	to.provider.Spec.Timeout.Duration = 50 * time.Millisecond
	started := time.Now()
	if err := (&Dispatcher{}).publish(t.Context(), to, message.Event{}); err == nil || time.Since(started) > time.Second {
		t.Errorf("%v after %s", err, time.Since(started))
	}
}

func TestNATSSignsWithTheKeyOfTheSecret(t *testing.T) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, _ := pair.Seed()
	public, _ := pair.PublicKey()
	creds := fmt.Sprintf("-----BEGIN NATS USER JWT-----\na.jwt.x\n------END NATS USER JWT------\n\n"+
		"-----BEGIN USER NKEY SEED-----\n%s\n------END USER NKEY SEED------\n", seed)
	for name, tc := range map[string]struct {
		data map[string][]byte
		want natsConnect
	}{
		"the seed of a key":     {map[string][]byte{"nkey": append(seed, '\n')}, natsConnect{NKey: public}},
		"a file of credentials": {map[string][]byte{"creds": []byte(creds)}, natsConnect{JWT: "a.jwt.x"}},
	} {
		t.Run(name, func(t *testing.T) {
			sent := make(chan []string, 1)
			serve := script("INFO {\"nonce\":\"once\"}\r\n", "PONG\r\n", "PONG\r\n")
			to := natsServer(t, func(conn net.Conn) { sent <- serve(conn) })
			to.secret = &corev1.Secret{Data: tc.data}
			if err := (&Dispatcher{}).publish(t.Context(), to, message.Event{}); err != nil {
				t.Fatal(err)
			}
			var got natsConnect
			if err := json.Unmarshal([]byte(strings.TrimPrefix((<-sent)[0], "CONNECT ")), &got); err != nil {
				t.Fatal(err)
			}
			signature, err := base64.RawURLEncoding.DecodeString(got.Signature)
			if err != nil || pair.Verify([]byte("once"), signature) != nil || got.NKey != tc.want.NKey || got.JWT != tc.want.JWT {
				t.Errorf("sent %+v", got)
			}
		})
	}
}

func TestNATSSaysNothingBeforeTLSThatASecretAsksFor(t *testing.T) {
	site := httptest.NewTLSServer(nil)
	defer site.Close()
	config := &tls.Config{Certificates: site.TLS.Certificates, MinVersion: tls.VersionTLS12}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: site.Certificate().Raw})
	serve := script("", "PONG\r\n", "PONG\r\n")
	sent := make(chan []string, 2)
	secure := func(conn net.Conn) {
		_, _ = io.WriteString(conn, "INFO {\"tls_required\":true}\r\n")
		sent <- serve(tls.Server(conn, config))
	}
	to := natsServer(t, secure)
	to.target.Token, to.settings.CA = "hush", string(ca)
	if err := (&Dispatcher{}).publish(t.Context(), to, message.Event{}); err != nil {
		t.Fatal(err)
	}
	if got := <-sent; len(got) == 0 || !strings.Contains(got[0], `"auth_token":"hush"`) {
		t.Errorf("sent %q", got)
	}
	to = natsServer(t, secure)
	to.target.Token = "hush"
	err := (&Dispatcher{}).publish(t.Context(), to, message.Event{})
	if unknown := (x509.UnknownAuthorityError{}); !errors.As(err, &unknown) {
		t.Errorf("an authority that nobody named: %v", err)
	}
	if got := <-sent; len(got) > 0 {
		t.Errorf("sent %q", got)
	}
}

// Addresses of clusters are lists, of which a server may be away.
func TestTheNextServerOfAListIsAsked(t *testing.T) {
	sent := make(chan []string, 1)
	serve := script("INFO {}\r\n", "PONG\r\n", "PONG\r\n")
	to := natsServer(t, func(conn net.Conn) { sent <- serve(conn) })
	there := strings.TrimPrefix(to.target.Address, "nats://")
	to.target.Address = "nats://127.0.0.1:1, user:hush@" + there
	if err := (&Dispatcher{}).publish(t.Context(), to, message.Event{}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(<-sent, "\n"); !strings.Contains(got, `"pass":"hush"`) || !strings.Contains(got, "PUB flux.events ") {
		t.Errorf("sent %s", got)
	}
}

func TestAddressesOfNATS(t *testing.T) {
	for address, want := range map[string]string{
		"nats://a:4222": "a:4222", "a": "a", "tls://a:1,b:2, nats://c": "a:1 b:2 c", "nats://[::1]:4222": "[::1]:4222",
		"nats://user:a,b@c:4222": "c:4222", "nats://me:a@b:1,me:a@c:2": "b:1 c:2",
		"": "", "nats://": "", "ws://a": "", "nats://a,": "", "https://a": "", strings.Repeat("a,", maxServers) + "a": "",
	} {
		servers, err := natsServers(address)
		hosts := make([]string, 0, len(servers))
		for _, u := range servers {
			hosts = append(hosts, u.Host)
		}
		if got := strings.Join(hosts, " "); got != want || (err != nil) != (want == "") {
			t.Errorf("%q: got %q, %v", address, got, err)
		}
	}
}

func TestASubjectOfNATSIsOneWord(t *testing.T) {
	to := &resolvedProvider{target: message.Target{Address: "nats://host", Channel: "a 1\r\nx\r\nPUB b"}}
	if err := checkNATS(to); err == nil || !strings.Contains(err.Error(), "spec.channel") {
		t.Errorf("got %v", err)
	}
}
