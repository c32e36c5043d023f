// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/test/harness"
)

// ociCase is OCIRepositories, one artifact each.
type ociCase struct {
	engineCase
	size int
}

// ociResult is what they cost.
type ociResult struct {
	size int
	// cold is until all are Ready, and steady a while in which nothing is pushed.
	cold, steady usage
	// asked is how many requests the registry got in that while.
	asked  int64
	memory harness.Memory
}

const (
	// ociInterval is how often each is checked; in steadyTime that is as often as in an hour with an
	// interval of five minutes.
	ociInterval = 10 * time.Second
	steadyTime  = 2 * time.Minute
)

func measureOCI(ctx context.Context, p *harness.Playground, c ociCase, dir string) (r ociResult, err error) {
	r.size = c.size
	asked := new(atomic.Int64)
	images := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		asked.Add(1)
		images.ServeHTTP(w, req)
	}))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	if err := pushArtifacts(ctx, host, c.size); err != nil {
		return r, err
	}
	e, err := c.start(ctx, p, dir)
	if err != nil {
		return r, err
	}
	defer e.stop()
	if r.cold, err = e.measure(ctx, func(ctx context.Context) error { return c.create(ctx, p, host) }, func(ctx context.Context) error {
		return crowd{
			namespace: c.namespace, size: c.size, patience: crowdPatience,
			empty: func() client.ObjectList { return &sourcev1.OCIRepositoryList{} },
			done: func(obj client.Object) bool {
				o, ok := obj.(*sourcev1.OCIRepository)
				return ok && o.Status.Artifact != nil && apimeta.IsStatusConditionTrue(o.Status.Conditions, meta.ReadyCondition)
			},
		}.await(ctx, p)
	}); err != nil {
		return r, e.explain(err)
	}
	if err := pause(ctx, settleTime); err != nil {
		return r, err
	}
	before := asked.Load()
	wait := func(ctx context.Context) error { return pause(ctx, steadyTime) }
	if r.steady, err = e.measure(ctx, wait, func(context.Context) error { return nil }); err != nil {
		return r, e.explain(err)
	}
	r.asked = asked.Load() - before
	r.memory, err = e.memory()
	fmt.Printf("    %s: %d OCIRepositories Ready in %v with %v CPU; steady for %v: %v CPU, %d requests to the registry, "+
		"%d to the API server; %v\n",
		c.namespace, c.size, r.cold.took, r.cold.cpu, steadyTime, r.steady.cpu, r.asked, r.steady.requests, r.memory)
	return r, err
}

// create makes the objects.
func (c ociCase) create(ctx context.Context, p *harness.Playground, host string) error {
	var all strings.Builder
	for i := range c.size {
		app := appName(i)
		fmt.Fprintf(&all, "---\napiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nmetadata: {name: %s, namespace: %s}\n"+
			"spec: {url: \"oci://%s/%s\", ref: {tag: latest}, interval: %s, insecure: true}\n", app, c.namespace, host, app, ociInterval)
	}
	return p.Apply(ctx, []byte(all.String()))
}

// pushArtifacts pushes one artifact of Flux's media types to each repository.
func pushArtifacts(ctx context.Context, host string, size int) error {
	var layer bytes.Buffer
	zipped := gzip.NewWriter(&layer)
	archive := tar.NewWriter(zipped)
	content := []byte(configMap("app") + "  text: some\n")
	for _, err := range []error{
		archive.WriteHeader(&tar.Header{Name: "app.yaml", Mode: 0o644, Size: int64(len(content))}),
		func() error { _, err := archive.Write(content); return err }(),
		archive.Close(), zipped.Close(),
	} {
		if err != nil {
			return err
		}
	}
	base := mutate.MediaType(empty.Image, "application/vnd.oci.image.manifest.v1+json")
	image, err := mutate.Append(mutate.ConfigMediaType(base, "application/vnd.cncf.flux.config.v1+json"),
		mutate.Addendum{Layer: static.NewLayer(layer.Bytes(), "application/vnd.cncf.flux.content.v1.tar+gzip")})
	if err != nil {
		return err
	}
	artifact, _ := mutate.Annotations(image, map[string]string{
		"org.opencontainers.image.revision": "main@sha1:0000000000000000000000000000000000000000",
	}).(v1.Image)
	for i := range size {
		ref, err := name.NewTag(host+"/"+appName(i)+":latest", name.Insecure)
		if err != nil {
			return err
		}
		if err := remote.Write(ref, artifact, remote.WithContext(ctx)); err != nil {
			return err
		}
	}
	return nil
}
