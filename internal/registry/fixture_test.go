// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/internal/registry/registrytest"
)

// image is the repository of the registries here.
const image = registrytest.Image

// start is when a test begins.
var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func newClient(_ *testing.T, options ...Option) *Client {
	return NewClient(clock.RealClock{}, options...)
}

// named is a spec of an object in the namespace of the Secrets.
func named(spec Spec) Spec {
	spec.Kind, spec.Namespace, spec.Name = "ImageRepository", registrytest.Namespace, "app"
	return spec
}

// imageOf is the image of a spec.
func imageOf(t *testing.T, spec Spec, access Access) Image {
	t.Helper()
	var scheme []name.Option
	if spec.Insecure {
		scheme = append(scheme, name.Insecure)
	}
	repository, err := ParseRepository(spec.Image, scheme...)
	if err != nil {
		t.Fatal(err)
	}
	return Image{Repository: repository, Access: access, Timeout: time.Minute}
}

// listTags asks for the first page of the tags of an image.
func listTags(client *Client, image Image) error {
	return client.Call(context.Background(), image, func(ctx context.Context, session http.RoundTripper) error {
		address := image.Repository.Scheme() + "://" + image.Repository.RegistryStr() + "/v2/" + image.Repository.RepositoryStr() + TagListPath
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return err
		}
		response, err := (&http.Client{Transport: session}).Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		return transport.CheckError(response, http.StatusOK)
	})
}

// list reads the access of a spec, and the tags with it.
func list(t *testing.T, reader client.Reader, spec Spec) error {
	t.Helper()
	access, err := ReadAccess(context.Background(), reader, named(spec))
	if err != nil {
		return err
	}
	return listTags(newClient(t), imageOf(t, spec, access))
}

func value(t *testing.T, counter prometheus.Counter) float64 {
	t.Helper()
	return testutil.ToFloat64(counter)
}
