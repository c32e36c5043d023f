// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-logr/logr"
	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"k8s.io/utils/clock"
)

// counted is a listener that counts its connections.
type counted struct {
	net.Listener
	connections atomic.Int32
}

func (c *counted) Accept() (net.Conn, error) {
	found, err := c.Listener.Accept()
	if err == nil {
		c.connections.Add(1)
	}
	return found, err
}

// serveTLS serves the page as --ui-tls-cert-file does, and returns its listener and what trusts its certificate.
func serveTLS(t *testing.T) (*counted, *tls.Config) {
	t.Helper()
	s, err := NewServer(Options{Cluster: furnished(t), Token: "secret", Clock: clock.RealClock{}, Log: logr.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	close(s.ready)
	plain, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener := &counted{Listener: plain}
	certificate := httptest.NewUnstartedServer(nil)
	certificate.StartTLS() // for a certificate of 127.0.0.1
	certificate.Close()
	roots := x509.NewCertPool()
	roots.AddCert(certificate.Certificate())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- s.Serve(ctx, tls.NewListener(listener, &tls.Config{
			MinVersion: tls.VersionTLS12, Certificates: certificate.TLS.Certificates, NextProtos: Protocols,
		}))
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return listener, &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
}

// With six tabs open the seventh waited for ever: over HTTP/1.1 each stream takes one of the six connections of a browser.
func TestManyStreamsShareOneConnectionOverTLS(t *testing.T) {
	listener, trusted := serveTLS(t)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: trusted, ForceAttemptHTTP2: true}}
	ask := func(method, path, body string) (status, version int, reader *bufio.Reader) {
		r, err := http.NewRequestWithContext(t.Context(), method, "https://"+listener.Addr().String()+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer secret")
		r.Header.Set(requestHeader, "1")
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = answer.Body.Close() })
		return answer.StatusCode, answer.ProtoMajor, bufio.NewReader(answer.Body)
	}
	for i := range maxStreams {
		_, version, stream := ask(http.MethodGet, "/api/v1/stream", "")
		first, err := stream.ReadString('\n')
		if err != nil || version != 2 || first != "event: lanes\n" {
			t.Fatalf("stream %d: HTTP/%d %q, %v", i, version, first, err)
		}
	}
	if status, _, _ := ask(http.MethodGet, "/api/v1/session", ""); status != http.StatusOK {
		t.Errorf("beside %d streams: %d", maxStreams, status)
	}
	if status, _, _ := ask(http.MethodGet, "/api/v1/stream", ""); status != http.StatusTooManyRequests {
		t.Errorf("one stream more than a user may have: %d", status)
	}
	status, _, answer := ask(http.MethodPost, "/api/v1/actions", `{"kind":"`+strings.Repeat("x", maxRequest)+`"}`)
	text, err := io.ReadAll(answer)
	if err != nil || status != http.StatusBadRequest || !strings.Contains(string(text), "too large") {
		t.Errorf("a body that is too large: %d %.200s %v", status, text, err)
	}
	if n := listener.connections.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// A client that opens requests and resets them at once has no more of them answered at one time than another one
// (CVE-2023-44487), and the next client is answered.
func TestResettingRequestsRapidlyDoesNotHelp(t *testing.T) {
	listener, trusted := serveTLS(t)
	trusted.NextProtos = Protocols
	dialed, err := (&tls.Dialer{Config: trusted}).DialContext(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer dialed.Close()
	if _, err := io.WriteString(dialed, xhttp2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	framer := xhttp2.NewFramer(dialed, dialed)
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	frame, err := framer.ReadFrame()
	settings, ok := frame.(*xhttp2.SettingsFrame)
	if err != nil || !ok {
		t.Fatalf("got %v, %v", frame, err)
	}
	if most, ok := settings.Value(xhttp2.SettingMaxConcurrentStreams); !ok || int(most) != http2.MaxConcurrentStreams {
		t.Errorf("allows %d requests at one time", most)
	}
	go func() { _, _ = io.Copy(io.Discard, dialed) }()
	for i := range 20_000 {
		if writeReset(framer, uint32(2*i+1), listener.Addr().String()) != nil {
			break // it has had enough
		}
	}
	other := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: trusted.RootCAs}}}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("https://%s/api/v1/session", listener.Addr()), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer secret")
	answer, err := other.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("somebody else: %s", answer.Status)
	}
}

// writeReset writes a request for the stream, and takes it back.
func writeReset(framer *xhttp2.Framer, id uint32, host string) error {
	var block strings.Builder
	encoder := hpack.NewEncoder(&block)
	for _, field := range [][2]string{
		{":method", "GET"}, {":scheme", "https"}, {":authority", host}, {":path", "/api/v1/stream"}, {"authorization", "Bearer secret"},
	} {
		if err := encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}); err != nil {
			return err
		}
	}
	if err := framer.WriteHeaders(xhttp2.HeadersFrameParam{
		StreamID: id, BlockFragment: []byte(block.String()), EndStream: true, EndHeaders: true,
	}); err != nil {
		return err
	}
	return framer.WriteRSTStream(id, xhttp2.ErrCodeCancel)
}
