// SPDX-License-Identifier: Apache-2.0

// Package consistency measures what it costs to read one's own writes.
package consistency

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/sluice-cd/sluice/internal/kinds"
	"github.com/sluice-cd/sluice/internal/resourceversion"
	"github.com/sluice-cd/sluice/test/harness"
)

// writer patches the status of an object and returns its new resource version.
type writer func(context.Context, client.Client, *kustomizev1.Kustomization, []byte) (string, error)

func typed(ctx context.Context, c client.Client, k *kustomizev1.Kustomization, patch []byte) (string, error) {
	written := k.DeepCopy()
	err := c.Status().Patch(ctx, written, client.RawPatch(types.MergePatchType, patch))
	return written.ResourceVersion, err
}

func metadata(ctx context.Context, c client.Client, k *kustomizev1.Kustomization, patch []byte) (string, error) {
	written := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: k.Namespace, Name: k.Name}}
	written.SetGroupVersionKind(kustomizev1.GroupVersion.WithKind(kustomizev1.KustomizationKind))
	err := c.Status().Patch(ctx, written, client.RawPatch(types.MergePatchType, patch))
	return written.ResourceVersion, err
}

// BenchmarkReadAfterWrite patches a status and reads the object from the cache at once.
// It reports how long the write and the read took, which part of the reads was stale,
// and how many watches there were.
func BenchmarkReadAfterWrite(b *testing.B) {
	for name, tc := range map[string]struct {
		write      writer
		consistent bool
	}{
		"metadata":            {write: metadata},
		"typed":               {write: typed},
		"metadata-consistent": {write: metadata, consistent: true},
		"typed-consistent":    {write: typed, consistent: true},
	} {
		b.Run(name, func(b *testing.B) { readAfterWrite(b, tc.write, tc.consistent) })
	}
}

func readAfterWrite(b *testing.B, write writer, consistent bool) {
	p := harness.Installed(b)
	var watches atomic.Int64
	c, k := start(b, p, consistent, &watches)
	var writing, reading time.Duration
	stale := 0
	for n := 0; b.Loop(); n++ {
		began := time.Now()
		version, err := write(b.Context(), c, k, fmt.Appendf(nil, `{"status":{"lastAppliedRevision":"%d"}}`, n))
		if err != nil {
			b.Fatal(err)
		}
		wrote := time.Now()
		read := &kustomizev1.Kustomization{}
		if err := c.Get(b.Context(), client.ObjectKeyFromObject(k), read); err != nil {
			b.Fatal(err)
		}
		writing, reading = writing+wrote.Sub(began), reading+time.Since(wrote)
		if resourceversion.Older(read.ResourceVersion, version) {
			stale++
		}
	}
	b.ReportMetric(float64(writing.Microseconds())/float64(b.N), "µs/write")
	b.ReportMetric(float64(reading.Microseconds())/float64(b.N), "µs/read")
	b.ReportMetric(100*float64(stale)/float64(b.N), "%stale")
	b.ReportMetric(float64(watches.Load()), "watches")
}

// start runs a manager with one Kustomization in its cache.
func start(b *testing.B, p *harness.Playground, consistent bool, watches *atomic.Int64) (client.Client, *kustomizev1.Kustomization) {
	b.Helper()
	scheme, err := kinds.Scheme()
	if err != nil {
		b.Fatal(err)
	}
	config := rest.CopyConfig(p.REST)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.URL.Query().Get("watch") == "true" {
				watches.Add(1)
			}
			return next.RoundTrip(r)
		})
	})
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme, Metrics: metricsserver.Options{BindAddress: "0"},
		Client: client.Options{Cache: &client.CacheOptions{EnableReadYourWritesConsistency: &consistent}},
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	b.Cleanup(func() { cancel(); <-done })
	k := &kustomizev1.Kustomization{ObjectMeta: metav1.ObjectMeta{Namespace: p.NewNamespace(b, "consistency-", nil), Name: "app"}}
	k.Spec.Suspend, k.Spec.Interval.Duration, k.Spec.SourceRef.Kind, k.Spec.SourceRef.Name = true, time.Hour, "GitRepository", "app"
	if err := p.Client.Create(ctx, k); err != nil {
		b.Fatal(err)
	}
	if err := wait.PollUntilContextTimeout(ctx, 10*time.Millisecond, harness.Patience, true, func(ctx context.Context) (bool, error) {
		return mgr.GetClient().Get(ctx, client.ObjectKeyFromObject(k), &kustomizev1.Kustomization{}) == nil, nil
	}); err != nil {
		b.Fatal(err)
	}
	return mgr.GetClient(), k
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
