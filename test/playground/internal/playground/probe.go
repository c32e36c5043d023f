// SPDX-License-Identifier: Apache-2.0

package playground

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// prober does not check certificates: what it learns is only that somebody
// answers on the port, and their authority is the playground's own.
var prober = &http.Client{
	Timeout:   3 * time.Second,
	Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true},
}

// answers is ready when a GET of url is answered with anything but an error.
// Not found is no error: it is what a server says to a question that it
// understood.
func answers(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := prober.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		if resp.StatusCode >= 400 && resp.StatusCode != http.StatusNotFound {
			return fmt.Errorf("%s answers %s", req.URL.Redacted(), resp.Status)
		}
		return nil
	}
}

// greets is ready when the server at address begins to speak with the words.
func greets(address, words string) func(context.Context) error {
	return func(ctx context.Context) error {
		dialer := net.Dialer{Timeout: 3 * time.Second}
		conn, err := dialer.DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := conn.SetReadDeadline(time.Now().Add(3 * time.Second)); err != nil {
			return err
		}
		said := make([]byte, len(words))
		if _, err := io.ReadFull(conn, said); err != nil {
			return fmt.Errorf("waiting for %s to speak: %w", address, err)
		}
		if string(said) != words {
			return fmt.Errorf("%s says %q", address, said)
		}
		return nil
	}
}
