// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// API talks to the API server as the administrator. It is a few lines of
// net/http, because a launcher that links client-go takes minutes to build.
type API struct {
	client *http.Client
	url    string
}

// StatusError is an answer other than success.
type StatusError struct {
	Code int
	Body string
}

func (e *StatusError) Error() string { return fmt.Sprintf("HTTP %d: %s", e.Code, e.Body) }

// API reads the credentials that WriteCredentials left.
func (l Layout) API() (*API, error) {
	ca, err := os.ReadFile(l.pki("ca.crt"))
	if err != nil {
		return nil, err
	}
	// The API server's own client certificate is a cluster administrator's.
	cert, err := tls.LoadX509KeyPair(l.pki("kubelet-client.crt"), l.pki("kubelet-client.key"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	config := &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	return &API{
		client: &http.Client{Transport: &http.Transport{TLSClientConfig: config}, Timeout: 30 * time.Second},
		url:    l.URL(),
	}, nil
}

// Get reads path into out, which may be nil.
func (a *API) Get(ctx context.Context, path string, out any) error {
	return a.do(ctx, http.MethodGet, path, nil, out)
}

// Create posts an object; that it exists already is not an error.
func (a *API) Create(ctx context.Context, path string, object any) error {
	err := a.do(ctx, http.MethodPost, path, object, nil)
	if isStatus(err, http.StatusConflict) {
		return nil
	}
	return err
}

func isStatus(err error, code int) bool {
	var status *StatusError
	return errors.As(err, &status) && status.Code == code
}

func (a *API) do(ctx context.Context, method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, a.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := a.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return &StatusError{Code: resp.StatusCode, Body: string(data[:min(len(data), 2000)])}
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(data, out)
}
