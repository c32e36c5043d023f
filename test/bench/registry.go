package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/test/harness"

	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// scanResult is what scanning many repositories cost.
type scanResult struct {
	cold, coldCPU           time.Duration
	unchanged, unchangedCPU time.Duration
	rss                     int64
}

const scanName = "bench-scan"

// measureScans scans a few hundred repositories of a thousand tags, and again
// when nothing has changed. The controller serves the image kinds only.
func measureScans(ctx context.Context, p *harness.Playground, dir string, size sizes) (scanResult, error) {
	var r scanResult
	server, err := seedRegistry(size)
	if err != nil {
		return r, err
	}
	defer server.Close()
	sluice, err := p.StartController(ctx, dir, "--controllers", "image", "--watch-namespace", scanName)
	if err != nil {
		return r, err
	}
	defer sluice.Stop()
	m := scanMeter{p: p, sluice: sluice, size: size, host: strings.TrimPrefix(server.URL, "http://")}
	if r.cold, r.coldCPU, err = m.measure(ctx, m.create, scanned); err != nil {
		return r, fmt.Errorf("cold: %w\nlast lines of the controller's log:\n%s", err, sluice.Tail(3000))
	}
	token := time.Now().Format(time.RFC3339Nano)
	if r.unchanged, r.unchangedCPU, err = m.measure(ctx, m.rescan(token), func(repo *imagev1.ImageRepository) bool {
		return scanned(repo) && repo.Status.LastHandledReconcileAt == token
	}); err != nil {
		return r, fmt.Errorf("unchanged: %w\nlast lines of the controller's log:\n%s", err, sluice.Tail(3000))
	}
	r.rss, err = sluice.RSS()
	fmt.Printf("    %d repositories of %d tags: cold %v with %v CPU, unchanged %v with %v CPU, %d MiB\n",
		size.repositories, size.tags, r.cold, r.coldCPU, r.unchanged, r.unchangedCPU, r.rss>>20)
	return r, err
}

// seedRegistry serves repositories whose tags all point to one manifest. They
// are put in without the network, which would take minutes.
func seedRegistry(size sizes) (*httptest.Server, error) {
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	raw, err := empty.Index.RawManifest()
	if err != nil {
		return nil, err
	}
	for i := range size.repositories {
		for j := range size.tags {
			req := httptest.NewRequest(http.MethodPut, fmt.Sprintf("/v2/app-%03d/manifests/1.%d.0", i, j), strings.NewReader(string(raw)))
			req.Header.Set("Content-Type", "application/vnd.oci.image.index.v1+json")
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, req)
			if answer.Code != http.StatusCreated {
				return nil, fmt.Errorf("seeding the registry: %d %s", answer.Code, answer.Body)
			}
		}
	}
	return httptest.NewServer(handler), nil
}

type scanMeter struct {
	p      *harness.Playground
	sluice *harness.Controller
	size   sizes
	host   string
}

// measure times one step until all repositories are done.
func (m *scanMeter) measure(ctx context.Context, step func(context.Context) error, done func(*imagev1.ImageRepository) bool) (took, cpu time.Duration, err error) {
	before, err := m.sluice.CPU()
	if err != nil {
		return 0, 0, err
	}
	start := time.Now()
	if err := step(ctx); err != nil {
		return 0, 0, err
	}
	if err := (crowd{
		namespace: scanName, size: m.size.repositories,
		empty: func() client.ObjectList { return &imagev1.ImageRepositoryList{} },
		done: func(obj client.Object) bool {
			repo, ok := obj.(*imagev1.ImageRepository)
			return ok && done(repo)
		},
	}).await(ctx, m.p); err != nil {
		return 0, 0, err
	}
	took = time.Since(start)
	after, err := m.sluice.CPU()
	return took, after - before, err
}

func scanned(repo *imagev1.ImageRepository) bool {
	return repo.Status.LastScanResult != nil && apimeta.IsStatusConditionTrue(repo.Status.Conditions, meta.ReadyCondition)
}

// create makes the objects, and the namespace they are in.
func (m *scanMeter) create(ctx context.Context) error {
	var all strings.Builder
	fmt.Fprintf(&all, "apiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n", scanName)
	for i := range m.size.repositories {
		fmt.Fprintf(&all, "---\napiVersion: image.toolkit.fluxcd.io/v1\nkind: ImageRepository\nmetadata: {name: app-%03d, namespace: %s}\n"+
			"spec: {image: %s/app-%03d, interval: 1h, insecure: true}\n", i, scanName, m.host, i)
	}
	return m.p.Apply(ctx, []byte(all.String()))
}

// rescan asks for another scan of every repository.
func (m *scanMeter) rescan(token string) func(context.Context) error {
	return func(ctx context.Context) error {
		patch := client.RawPatch("application/merge-patch+json",
			fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, meta.ReconcileRequestAnnotation, token))
		for i := range m.size.repositories {
			repo := &imagev1.ImageRepository{}
			repo.Namespace, repo.Name = scanName, fmt.Sprintf("app-%03d", i)
			if err := m.p.Client.Patch(ctx, repo, patch); err != nil {
				return err
			}
		}
		return nil
	}
}
