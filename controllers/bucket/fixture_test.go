// SPDX-License-Identifier: Apache-2.0

package bucket

import (
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/sluice-cd/sluice/internal/outbound"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/source"
	"github.com/sluice-cd/sluice/source/sourcetest"
	"github.com/sluice-cd/sluice/test/make"
)

const name = "app"

// fixture is a reconciler of one Bucket against a server that speaks S3.
type fixture struct {
	*testing.T
	*Reconciler
	backend  gofakes3.Backend
	server   *httptest.Server
	upstream *sourcetest.Upstream
	obj      *sourcev1.Bucket
	clock    *clocktesting.FakeClock
	dir      string
	// objects are what the API server has.
	objects []client.Object
}

func setup(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{
		T: t, dir: t.TempDir(), backend: s3mem.New(),
		clock: clocktesting.NewFakeClock(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)),
	}
	if err := f.backend.CreateBucket(name); err != nil {
		t.Fatal(err)
	}
	s3 := gofakes3.New(f.backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server()
	f.upstream = sourcetest.NewUpstream(s3)
	f.server = httptest.NewServer(f.upstream)
	t.Cleanup(f.server.Close)
	f.obj = make.Bucket("apps", name, func(b *sourcev1.Bucket) {
		b.Spec.Endpoint, b.Spec.Region = strings.TrimPrefix(f.server.URL, "http://"), "us-east-1"
	})
	f.restart()
	return f
}

// restart is what a new process begins with.
func (f *fixture) restart() {
	objects := fake.NewClientBuilder().WithObjects(f.objects...).Build()
	store := source.NewStore(f.dir, "store.example.com", f.clock)
	f.Reconciler = &Reconciler{
		Client: objects, Secrets: objects, Clock: f.clock, Publisher: source.Publisher{Store: store}, Opener: source.NewOpener(store),
		Transports: outbound.NewTransports(nil),
	}
}

// put puts objects into the bucket.
func (f *fixture) put(objects map[string]string) {
	f.Helper()
	for key, content := range objects {
		header := map[string]string{"Last-Modified": "Mon, 02 Jan 2006 15:04:05 GMT"}
		if _, err := f.backend.PutObject(name, key, header, strings.NewReader(content), int64(len(content)), nil); err != nil {
			f.Fatal(err)
		}
	}
}

func (f *fixture) remove(key string) {
	f.Helper()
	if _, err := f.backend.DeleteObject(name, key); err != nil {
		f.Fatal(err)
	}
}

// asked returns what the server was asked since the last call, sorted: files are fetched side by side.
func (f *fixture) asked() []string { return slices.Sorted(slices.Values(f.upstream.Asked())) }

func (f *fixture) must() reconciler.Result {
	f.Helper()
	result, err := f.Reconcile(f.Context(), f.obj)
	if err != nil {
		f.Fatal(err)
	}
	return result
}

// fails reconciles, and checks the reason and a part of the message.
func (f *fixture) fails(reason, text string) error {
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
