// SPDX-License-Identifier: Apache-2.0

package sources

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

// Who owns a gateway, and where it says that it is.
const (
	accessKey, secretKey = "ann", "hunter2-and-more"
	region               = "eu-west-1"
	// awsHost is where buckets of that region are names of hosts.
	awsHost = "s3.dualstack." + region + ".amazonaws.com"
)

// gateway is a server that speaks S3 over a directory, and checks what requests are signed with:
// versitygw, unmodified. Sources reach it through a proxy that sees what they ask.
type gateway struct {
	*harness.Process
	t     *testing.T
	owner *minio.Client // goes around the proxy
	front *httptest.Server

	mu     sync.Mutex
	asked  []string
	before func(*http.Request)
}

// newGateway starts a gateway with an empty bucket named fleet.
func newGateway(t *testing.T) *gateway {
	t.Helper()
	bin := harness.RequireUpstream(t, "versitygw")
	dir, err := os.MkdirTemp("", "s3-") // names of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "sock")
	for _, sub := range []string{"data", "meta"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	g := &gateway{t: t}
	g.Process = harness.NewProcess(bin, filepath.Join(dir, "log"), "--port", socket, "--region", region, "--health", "/health",
		"--virtual-domain", awsHost, "posix", "--sidecar", filepath.Join(dir, "meta"), filepath.Join(dir, "data"))
	g.Setenv("ROOT_ACCESS_KEY="+accessKey, "ROOT_SECRET_KEY="+secretKey)
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	g.front = httptest.NewServer(g.proxy(transport))
	t.Cleanup(g.front.Close)
	if err := g.Launch(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.Stop()
		if t.Failed() {
			t.Logf("the gateway's log ends with:\n%s", g.Tail(4000))
		}
	})
	if err := g.Answers(t.Context(), g.front.URL+"/health", harness.Patience); err != nil {
		t.Fatal(err)
	}
	g.owner, err = minio.New(g.host(), &minio.Options{
		Creds: credentials.NewStaticV4(accessKey, secretKey, ""), Region: region, Transport: transport,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.owner.MakeBucket(t.Context(), "fleet", minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	return g
}

// proxy notes requests and hands them on with the Host that they are signed for. It is both a
// server in front of the gateway and a proxy to all hosts that the gateway stands for.
func (g *gateway) proxy(to http.RoundTripper) http.Handler {
	return &httputil.ReverseProxy{
		Transport: to,
		ErrorLog:  log.New(io.Discard, "", 0), // until the gateway listens
		Rewrite: func(r *httputil.ProxyRequest) {
			g.mu.Lock()
			g.asked = append(g.asked, r.In.Method+" "+r.In.Host+r.In.URL.Path)
			before := g.before
			g.mu.Unlock()
			if before != nil {
				before(r.In)
			}
			r.SetURL(&url.URL{Scheme: "http", Host: "gateway"})
			r.Out.Host = r.In.Host
		},
	}
}

// host is where sources reach the gateway.
func (g *gateway) host() string { return strings.TrimPrefix(g.front.URL, "http://") }

// put puts an object into the bucket.
func (g *gateway) put(key, content string) {
	g.t.Helper()
	_, err := g.owner.PutObject(g.t.Context(), "fleet", key, strings.NewReader(content), int64(len(content)), minio.PutObjectOptions{})
	if err != nil {
		g.t.Fatal(err)
	}
}

// remove takes an object out of the bucket.
func (g *gateway) remove(key string) {
	if err := g.owner.RemoveObject(g.t.Context(), "fleet", key, minio.RemoveObjectOptions{}); err != nil {
		g.t.Error(err)
	}
}

// first does something before the gateway sees a request whose path ends so, once.
func (g *gateway) first(suffix string, do func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var once sync.Once
	g.before = func(r *http.Request) {
		if strings.HasSuffix(r.URL.Path, suffix) {
			once.Do(do)
		}
	}
}

// requests are those of objects and lists since the last call, without the host, sorted.
func (g *gateway) requests() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	asked := g.asked
	g.asked = nil
	slices.Sort(asked)
	return asked
}
