// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/registry"
)

// benchTags are n tags as they are in the wild, in the order of a registry.
func benchTags(n int) []string {
	tags := make([]string, n)
	for i := range tags {
		tags[i] = fmt.Sprintf("1.%d.%d-%07x", i/1000, i%1000+1000, i*2654435761%0xfffffff)
	}
	return tags
}

func benchBody(b *testing.B, n int) []byte {
	b.Helper()
	data, err := json.Marshal(map[string]any{"name": "team/app", "tags": benchTags(n)})
	if err != nil {
		b.Fatal(err)
	}
	return data
}

// benchRegistry serves the same tags for every image. What it allocates is in the
// figures as well.
func benchRegistry(b *testing.B, n int) (*Client, string) {
	b.Helper()
	page := benchBody(b, n)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/" {
			_, _ = w.Write(page)
		}
	}))
	b.Cleanup(server.Close)
	return NewClient(registry.NewClient(clock.RealClock{}), clock.RealClock{}), strings.TrimPrefix(server.URL, "http://")
}

func benchRequests(b *testing.B, host string, n int) []Request {
	b.Helper()
	requests := make([]Request, n)
	for i := range requests {
		to, err := NewTarget(repository(imagev1.ImageRepositorySpec{
			Image: fmt.Sprintf("%s/app-%d", host, i), Interval: metav1.Duration{Duration: time.Minute},
		}))
		if err != nil {
			b.Fatal(err)
		}
		requests[i] = Request{Key: object(fmt.Sprint(i)), Target: to}
	}
	return requests
}

func scanAll(b *testing.B, s *Scanner, requests []Request) {
	b.Helper()
	for _, request := range requests {
		if _, err := s.Scan(context.Background(), request); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkScans scans 300 repositories of 1,000 tags one after the other, with
// the tags on disk.
func BenchmarkScans(b *testing.B) {
	client, host := benchRegistry(b, 1000)
	requests := benchRequests(b, host, 300)
	fresh := func() *Scanner {
		s := NewScanner(client, NewStore(InDir(b.TempDir(), func(err error) { b.Error(err) })))
		s.SetPatience(soon)
		return s
	}
	b.Run("cold", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			scanAll(b, fresh(), requests)
		}
	})
	b.Run("unchanged", func(b *testing.B) {
		s := fresh()
		scanAll(b, s, requests)
		b.ReportAllocs()
		for b.Loop() {
			scanAll(b, s, requests)
		}
	})
}

// BenchmarkTags measures the parts of a scan of 100,000 tags.
func BenchmarkTags(b *testing.B) {
	const n = 100_000
	body := benchBody(b, n)
	var tags tagBuffer
	if err := decodePage(body, &tags); err != nil {
		b.Fatal(err)
	}
	set := tags.set(nil)
	list := newListing(registry.ID{Image: "app"}, set, time.Unix(1, 0))
	to, err := NewTarget(repository(imagev1.ImageRepositorySpec{Image: "app"}))
	if err != nil {
		b.Fatal(err)
	}
	snapshot := newSnapshot(to, list, nil)
	encoded := encodeListing(list)
	b.Logf("%d bytes as JSON, %d in memory, %d on disk", len(body), len(set.text)+4*len(set.ends), len(encoded))
	for name, run := range map[string]func() error{
		"decode": func() error { tags.reset(); return decodePage(body, &tags) },
		"unchanged": func() error {
			if tags.set(set) != set {
				return errDamaged
			}
			return nil
		},
		"exclude":  func() error { newSnapshot(to, list, nil); return nil },
		"again":    func() error { newSnapshot(to, list.unchangedAt(time.Unix(2, 0)), snapshot); return nil },
		"remember": func() error { newListing(list.id, set, time.Unix(2, 0)).inheritFirstSeen(list); return nil },
		"encode":   func() error { encodeListing(list); return nil },
		"restore":  func() error { _, err := decodeListing(encoded); return err },
		"all": func() error {
			for tag := range snapshot.All() {
				if tag == "" {
					return errDamaged
				}
			}
			return nil
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
