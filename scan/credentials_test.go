// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"context"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/prometheus/client_golang/prometheus/testutil"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/registry"
	"github.com/sluice-cd/sluice/internal/registry/registrytest"
)

// Neither a name nor a byte on disk holds what a Secret does.
func TestNoCredentialIsOnDisk(t *testing.T) {
	host := registrytest.Serve(t, registrytest.Guarded(registrytest.New(t, "1")))
	spec := imagev1.ImageRepositorySpec{Image: host + "/" + image, SecretRef: &meta.LocalObjectReference{Name: "good"}}
	access, err := registry.ReadAccess(context.Background(),
		registrytest.Reader(registrytest.DockerConfig("good", host, "ann", "pw")), RegistrySpec(repository(spec)))
	if err != nil {
		t.Fatal(err)
	}
	s := kept(t, t.TempDir(), start)
	got, err := patient(t, s).Scan(context.Background(), Request{Key: object("app"), Target: target(t, spec), Access: access})
	if err != nil {
		t.Fatal(err)
	}
	data, _, err := read(s.disk.path(nameOf(got.list.id)))
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"ann", "pw", "YW5uOnB3"} {
		if strings.Contains(string(data)+s.disk.path(nameOf(got.list.id)), word) {
			t.Errorf("%q is on disk", word)
		}
	}
}

func TestScansAreCounted(t *testing.T) {
	client := newClient(t)
	host := registrytest.Serve(t, body(`{"tags":["1"]}`, nil))
	to := target(t, imagev1.ImageRepositorySpec{Image: host + "/" + image})
	if _, err := client.Tags(context.Background(), to, registry.Access{}); err != nil {
		t.Fatal(err)
	}
	if n := testutil.ToFloat64(client.metrics.scans.WithLabelValues(host, outcomeListed)); n != 1 {
		t.Errorf("%v scans were counted", n)
	}
	if observed := testutil.CollectAndCount(client.metrics.seconds); observed != 1 {
		t.Errorf("the time of the scan is in %d series", observed)
	}
}
