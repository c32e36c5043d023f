// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
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
	cold, coldCPU         time.Duration
	idleCPU, unchangedCPU time.Duration // while nothing was due, and when the interval passed
	asked, askedCPU       time.Duration // unchanged, too
	memory                harness.Memory
}

const (
	scanName = "bench-scan"
	// scanInterval leaves time for the first scan of all before the second of any.
	scanInterval = 30 * time.Second
)

// measureScans scans a few hundred repositories of a thousand tags, and again
// when nothing has changed. The controller serves the image kinds only.
func measureScans(ctx context.Context, p *harness.Playground, dir string, size sizes) (scanResult, error) {
	var r scanResult
	server, lists, err := seedRegistry(size)
	if err != nil {
		return r, err
	}
	defer server.Close()
	sluice, err := p.StartController(ctx, dir, "--controllers", "image", "--watch-namespace", scanName)
	if err != nil {
		return r, err
	}
	defer sluice.Stop()
	m := scanMeter{p: p, sluice: sluice, size: size, host: strings.TrimPrefix(server.URL, "http://"), lists: lists}
	if err := m.all(ctx, &r); err != nil {
		return r, fmt.Errorf("%w\nlast lines of the controller's log:\n%s", err, sluice.Tail(3000))
	}
	r.memory, err = sluice.Memory()
	fmt.Printf("    %d repositories of %d tags: cold %v with %v CPU; idle %v CPU; unchanged by interval %v CPU, "+
		"asked for %v with %v CPU; %v\n",
		size.repositories, size.tags, r.cold, r.coldCPU, r.idleCPU, r.unchangedCPU, r.asked, r.askedCPU, r.memory)
	return r, err
}

// all measures the first scan, the second, and the third. Only the last of them,
// which somebody asked for, has anything to write: that it was done.
func (m *scanMeter) all(ctx context.Context, r *scanResult) (err error) {
	if r.cold, r.coldCPU, err = m.measure(ctx, m.create, scanned); err != nil {
		return fmt.Errorf("cold: %w", err)
	}
	if r.idleCPU, r.unchangedCPU, err = m.pass(ctx); err != nil {
		return fmt.Errorf("unchanged: %w", err)
	}
	token := time.Now().Format(time.RFC3339Nano)
	if r.asked, r.askedCPU, err = m.measure(ctx, m.rescan(token), func(repo *imagev1.ImageRepository) bool {
		return scanned(repo) && repo.Status.LastHandledReconcileAt == token
	}); err != nil {
		return fmt.Errorf("asked for: %w", err)
	}
	return nil
}

// pass waits until the interval of all repositories has passed, and sees to it
// that the scans that follow wrote nothing.
func (m *scanMeter) pass(ctx context.Context) (idle, cpu time.Duration, err error) {
	before, err := m.versions(ctx)
	if err != nil {
		return 0, 0, err
	}
	start, err := m.settled(ctx)
	if err != nil {
		return 0, 0, err
	}
	first, soon := m.lists.Load(), start
	if _, err := harness.Eventually(ctx, "the second scan of the first", 2*scanInterval, func(context.Context) (bool, string) {
		if now, err := m.sluice.CPU(); err == nil && m.lists.Load() == first {
			soon = now
		}
		return m.lists.Load() > first, "no scan"
	}); err != nil {
		return 0, 0, err
	}
	if _, err := harness.Eventually(ctx, "the second scan of all", 2*scanInterval, func(context.Context) (bool, string) {
		return m.lists.Load() >= first+int64(m.size.repositories), fmt.Sprint(m.lists.Load() - first)
	}); err != nil {
		return 0, 0, err
	}
	end, err := m.settled(ctx)
	if err != nil {
		return 0, 0, err
	}
	after, err := m.versions(ctx)
	if err == nil && !maps.Equal(before, after) {
		err = errors.New("a scan that found nothing new wrote a status")
	}
	return soon - start, end - soon, err
}

// quiet is how many looks in a row must find the CPU time unchanged.
const quiet = 25

// settled returns the CPU time once it stands still: events are sent, and caches
// follow, after the last status is written.
func (m *scanMeter) settled(ctx context.Context) (time.Duration, error) {
	var last time.Duration
	still := 0
	_, err := harness.Eventually(ctx, "the controller to be idle", patience, func(context.Context) (bool, string) {
		now, err := m.sluice.CPU()
		if err != nil {
			return false, err.Error()
		}
		if still++; now != last {
			last, still = now, 0
		}
		return still >= quiet, now.String()
	})
	return last, err
}

// versions are the resource versions of all repositories.
func (m *scanMeter) versions(ctx context.Context) (map[string]string, error) {
	var list imagev1.ImageRepositoryList
	err := m.p.Client.List(ctx, &list, client.InNamespace(scanName))
	found := map[string]string{}
	for i := range list.Items {
		found[list.Items[i].Name] = list.Items[i].ResourceVersion
	}
	return found, err
}

// seedRegistry serves repositories whose tags all point to one manifest. They
// are put in without the network, which would take minutes. It counts the lists
// that it gave.
func seedRegistry(size sizes) (*httptest.Server, *atomic.Int64, error) {
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	raw, err := empty.Index.RawManifest()
	if err != nil {
		return nil, nil, err
	}
	for i := range size.repositories {
		for j := range size.tags {
			req := httptest.NewRequest(http.MethodPut, fmt.Sprintf("/v2/app-%03d/manifests/1.%d.0", i, j), strings.NewReader(string(raw)))
			req.Header.Set("Content-Type", "application/vnd.oci.image.index.v1+json")
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, req)
			if answer.Code != http.StatusCreated {
				return nil, nil, fmt.Errorf("seeding the registry: %d %s", answer.Code, answer.Body)
			}
		}
	}
	lists := new(atomic.Int64)
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		handler.ServeHTTP(w, req)
		if strings.HasSuffix(req.URL.Path, "/tags/list") {
			lists.Add(1)
		}
	})), lists, nil
}

type scanMeter struct {
	p      *harness.Playground
	sluice *harness.Controller
	size   sizes
	host   string
	lists  *atomic.Int64
}

// measure times one step until all repositories are done.
func (m *scanMeter) measure(
	ctx context.Context, step func(context.Context) error, done func(*imagev1.ImageRepository) bool,
) (took, cpu time.Duration, err error) {
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
	after, err := m.settled(ctx)
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
			"spec: {image: %s/app-%03d, interval: %s, insecure: true}\n", i, scanName, m.host, i, scanInterval)
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
