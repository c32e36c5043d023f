// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"io"
	"net/http"
	"time"
)

// Load is a steady stream of requests.
type Load struct {
	URL  string
	Host string // of the Host header
	Rate int    // requests per second
	// Parallel bounds how many requests may be waiting for their answer; more are
	// not sent, as impatient users would not wait either.
	Parallel int
	// Seldom is a path that one request in [SeldomEvery] asks for; empty is none.
	Seldom string
}

// SeldomEvery is how many requests there are for each that asks for the path that few do.
const SeldomEvery = 20

// Run sends requests until ctx ends. Answers of any status are fine: the
// gateway counts them.
func (l Load) Run(ctx context.Context) {
	slots := make(chan struct{}, l.Parallel)
	httpClient := &http.Client{
		Timeout:   5 * time.Second,
		Transport: &http.Transport{MaxIdleConnsPerHost: l.Parallel},
	}
	ticker := time.NewTicker(time.Second / time.Duration(l.Rate))
	defer ticker.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		address := l.URL
		if n%SeldomEvery == 0 {
			address += l.Seldom
		}
		select {
		case slots <- struct{}{}:
			go func() {
				defer func() { <-slots }()
				l.send(ctx, httpClient, address)
			}()
		default:
		}
	}
}

func (l Load) send(ctx context.Context, httpClient *http.Client, address string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return
	}
	req.Host = l.Host
	resp, err := httpClient.Do(req)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
}
