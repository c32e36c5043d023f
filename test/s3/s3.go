// SPDX-License-Identifier: Apache-2.0

// Package s3 starts a server that speaks S3 over a directory, and checks what requests are
// signed with: versitygw, unmodified. Sources reach it through a proxy, which sees what they
// ask, and can do something in between:
//
//	Bucket --HTTP--> proxy --socket--> versitygw --> directory
//	                    |
//	                    '--> Requests, First
package s3

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/sluice-cd/sluice/test/harness"
)

// AccessKey and SecretKey are those of who owns a server.
const (
	AccessKey = "ann"
	SecretKey = "hunter2-and-more"
)

const (
	// Region is where a server says that it is.
	Region = "eu-west-1"
	// Bucket is the only one that a server has.
	Bucket = "fleet"
	// AWSHost is where buckets of the region are names of hosts.
	AWSHost = "s3.dualstack." + Region + ".amazonaws.com"
)

// Server is one that runs until the test ends.
type Server struct {
	*harness.Process
	// Owner goes around the proxy.
	Owner *minio.Client
	// URL is that of the proxy, which stands for all hosts of the server, too.
	URL string

	tb     testing.TB
	mu     sync.Mutex
	asked  []string
	before func(*http.Request)
}

// New starts a server with an empty [Bucket].
func New(tb testing.TB) *Server {
	tb.Helper()
	bin := harness.RequireUpstream(tb, "versitygw")
	dir, err := os.MkdirTemp("", "s3-") // names of sockets are short
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "sock")
	for _, sub := range []string{"data", "meta"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			tb.Fatal(err)
		}
	}
	s := &Server{tb: tb}
	s.Process = harness.NewProcess(bin, filepath.Join(dir, "log"), "--port", socket, "--region", Region, "--health", "/health",
		"--virtual-domain", AWSHost, "posix", "--sidecar", filepath.Join(dir, "meta"), filepath.Join(dir, "data"))
	s.Setenv("ROOT_ACCESS_KEY="+AccessKey, "ROOT_SECRET_KEY="+SecretKey)
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	front := httptest.NewServer(s.proxy(transport))
	tb.Cleanup(front.Close)
	s.URL = front.URL
	if err := s.Launch(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		s.Stop()
		if tb.Failed() {
			tb.Logf("the log of S3 ends with:\n%s", s.Tail(4000))
		}
	})
	if err := s.Answers(tb.Context(), s.URL+"/health", harness.Patience); err != nil {
		tb.Fatal(err)
	}
	s.Owner, err = minio.New(s.Host(), &minio.Options{
		Creds: credentials.NewStaticV4(AccessKey, SecretKey, ""), Region: Region, Transport: transport,
	})
	if err != nil {
		tb.Fatal(err)
	}
	if err := s.Owner.MakeBucket(tb.Context(), Bucket, minio.MakeBucketOptions{}); err != nil {
		tb.Fatal(err)
	}
	return s
}

// proxy notes requests and hands them on with the Host that they are signed for.
func (s *Server) proxy(to http.RoundTripper) http.Handler {
	return &httputil.ReverseProxy{
		Transport: to,
		ErrorLog:  log.New(io.Discard, "", 0), // until the server listens
		Rewrite: func(r *httputil.ProxyRequest) {
			s.mu.Lock()
			s.asked = append(s.asked, r.In.Method+" "+r.In.Host+r.In.URL.Path)
			before := s.before
			s.mu.Unlock()
			if before != nil {
				before(r.In)
			}
			r.SetURL(&url.URL{Scheme: "http", Host: "gateway"})
			r.Out.Host = r.In.Host
		},
	}
}

// Host is where sources reach the server, without a scheme.
func (s *Server) Host() string { return strings.TrimPrefix(s.URL, "http://") }

// Put puts an object into the bucket.
func (s *Server) Put(key, content string) {
	s.tb.Helper()
	_, err := s.Owner.PutObject(s.tb.Context(), Bucket, key, strings.NewReader(content), int64(len(content)), minio.PutObjectOptions{})
	if err != nil {
		s.tb.Fatal(err)
	}
}

// Remove takes an object out of the bucket.
func (s *Server) Remove(key string) {
	if err := s.Owner.RemoveObject(s.tb.Context(), Bucket, key, minio.RemoveObjectOptions{}); err != nil {
		s.tb.Error(err)
	}
}

// First does something before the server sees a request whose path ends so, once.
func (s *Server) First(suffix string, do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var once sync.Once
	s.before = func(r *http.Request) {
		if strings.HasSuffix(r.URL.Path, suffix) {
			once.Do(do)
		}
	}
}

// Requests are those of objects and lists since the last call, as GET host/bucket/key, sorted.
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	slices.Sort(asked)
	return asked
}
