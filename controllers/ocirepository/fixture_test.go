// SPDX-License-Identifier: Apache-2.0

package ocirepository

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"log"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	fakeregistry "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/registry"
	"github.com/sluice-cd/sluice/internal/registry/registrytest"
	"github.com/sluice-cd/sluice/internal/wake"
	"github.com/sluice-cd/sluice/scan"
	"github.com/sluice-cd/sluice/source"
	"github.com/sluice-cd/sluice/source/sourcetest"
	"github.com/sluice-cd/sluice/test/make"
)

const (
	namespace    = registrytest.Namespace
	contentLayer = "application/vnd.cncf.flux.content.v1.tar+gzip"
	repository   = "team/manifests"
)

// fixture is a reconciler of one OCIRepository against a registry.
type fixture struct {
	*testing.T
	*Reconciler
	host     string
	upstream *sourcetest.Upstream
	obj      *sourcev1.OCIRepository
	clock    *clocktesting.FakeClock
	dir      string
	// objects are what the API server has.
	objects []client.Object
}

func setup(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{T: t, dir: t.TempDir(), clock: clocktesting.NewFakeClock(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC))}
	images := fakeregistry.New(fakeregistry.Logger(log.New(io.Discard, "", 0)))
	f.upstream = sourcetest.NewUpstream(images)
	f.host = registrytest.Serve(t, f.upstream)
	f.obj = make.OCIRepository(namespace, "app", func(o *sourcev1.OCIRepository) {
		o.Spec.URL = "oci://" + f.host + "/" + repository
	})
	f.restart()
	return f
}

// restart is what a new process begins with.
func (f *fixture) restart() {
	asking := registry.NewClient(f.clock)
	objects := fake.NewClientBuilder().WithObjects(f.objects...).Build()
	f.Reconciler = &Reconciler{
		Client: objects, Secrets: objects, Clock: f.clock, Registry: asking,
		Scanner:   scan.NewScanner(scan.NewClient(asking, f.clock), scan.NewStore(scan.WithClock(f.clock))),
		Publisher: source.Publisher{Store: source.NewStore(f.dir, "store.example.com", f.clock)},
		Tagged:    &wake.Source{},
	}
}

func (f *fixture) must() reconciler.Result {
	f.Helper()
	result, err := f.Reconcile(f.Context(), f.obj)
	if err != nil {
		f.Fatal(err)
	}
	return result
}

// fails reconciles, and checks the reason and a part of the message.
func (f *fixture) fails(reason, text string) {
	f.Helper()
	_ = f.failure(reason, text)
}

// failure is the error that [fixture.fails] checks.
func (f *fixture) failure(reason, text string) error {
	f.Helper()
	_, err := f.Reconcile(f.Context(), f.obj)
	sourcetest.CheckFailure(f, err, f.Reason, reason, text)
	return err
}

// files are those of the artifact in status.
func (f *fixture) files() map[string]string {
	f.Helper()
	return sourcetest.Files(f, f.Publisher.Store, f.obj.Status.Artifact)
}

// push pushes layers as an artifact, and returns its digest.
func (f *fixture) push(tag string, annotations map[string]string, layers ...v1.Layer) string {
	f.Helper()
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), "application/vnd.cncf.flux.config.v1+json")
	for _, layer := range layers {
		media, _ := layer.MediaType()
		var err error
		if image, err = mutate.Append(image, mutate.Addendum{Layer: layer, MediaType: media}); err != nil {
			f.Fatal(err)
		}
	}
	if annotations != nil {
		image = mutate.Annotations(image, annotations).(v1.Image)
	}
	ref, err := name.NewTag(f.host + "/" + repository + ":" + tag)
	if err != nil {
		f.Fatal(err)
	}
	if err := remote.Write(ref, image); err != nil {
		f.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		f.Fatal(err)
	}
	f.upstream.Asked()
	return digest.String()
}

// pushFiles pushes files as `flux push artifact` does.
func (f *fixture) pushFiles(tag string, files map[string]string) string {
	f.Helper()
	return f.push(tag, nil, layer(contentLayer, archive(f.T, files)))
}

func layer(mediaType string, data []byte) v1.Layer {
	return static.NewLayer(data, types.MediaType(mediaType))
}

// archive is a tarball of files; a content that begins with -> is a symlink.
func archive(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	w := tar.NewWriter(zip)
	for path, content := range files {
		header := &tar.Header{Name: path, Mode: 0o600, Size: int64(len(content)), Typeflag: tar.TypeReg}
		if target, ok := strings.CutPrefix(content, "->"); ok {
			header.Typeflag, header.Linkname, header.Size, content = tar.TypeSymlink, target, 0, ""
		}
		if err := w.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// readyCondition is that of a source whose last run succeeded.
func readyCondition() *metav1.Condition {
	return &metav1.Condition{Type: meta.ReadyCondition, Status: metav1.ConditionTrue, Reason: meta.SucceededReason}
}

// announces is an archive of one file that says how many bytes it has, and has none of them.
func announces(t *testing.T, size int64) []byte {
	t.Helper()
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	if err := tar.NewWriter(zip).WriteHeader(&tar.Header{Name: "a", Mode: 0o600, Size: size, Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
