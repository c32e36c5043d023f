// SPDX-License-Identifier: Apache-2.0

package ocirepository

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Masterminds/semver/v3"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
	"sigs.k8s.io/yaml"
)

// chartVersion is one whose tag is spelled otherwise.
const chartVersion = "1.2.3+build.5"

// TestHelmControllerReadsACopiedChart is what a HelmRelease of Flux's helm-controller does with the OCIRepository of its
// spec.chartRef.
func TestHelmControllerReadsACopiedChart(t *testing.T) {
	f := setup(t)
	server := httptest.NewServer(f.Publisher.Store)
	t.Cleanup(server.Close)
	chart := packageChart(t, "../../charts/sluice")
	pushed := f.pushChart(chart)
	f.obj.Spec.LayerSelector = &sourcev1.OCILayerSelector{MediaType: chartLayer, Operation: sourcev1.OCILayerCopy}
	for what, ref := range map[string]*sourcev1.OCIRepositoryRef{
		"a tag":                {Tag: "1.2.3_build.5"},
		"a range of versions":  {SemVer: "1.x"},
		"a digest":             {Digest: pushed},
		"a tag beside a range": {Tag: "latest", SemVer: "~1.2"},
	} {
		t.Run(what, func(t *testing.T) {
			f.obj.Spec.Reference = ref
			f.must()
			loaded, version, err := loadChart(server.URL, f.obj)
			if err != nil {
				t.Fatalf("%v, of %+v", err, f.obj.Status.Artifact)
			}
			_, hex, _ := strings.Cut(pushed, ":")
			if want := "1.2.3+" + hex[:12]; version != want {
				t.Errorf("the release has version %s, want %s", version, want)
			}
			if !bytes.Equal(loaded, chart) {
				t.Error("the chart is not the one that was pushed")
			}
		})
	}
}

// The revision has the tag as it is, by which a HelmRelease sees that the chart is another one.
func TestHelmControllerSeesATagOfAnotherVersion(t *testing.T) {
	f := setup(t)
	server := httptest.NewServer(f.Publisher.Store)
	t.Cleanup(server.Close)
	f.pushChart(packageChart(t, "../../charts/sluice"))
	f.obj.Spec.LayerSelector = &sourcev1.OCILayerSelector{MediaType: chartLayer, Operation: sourcev1.OCILayerCopy}
	f.obj.Spec.Reference = &sourcev1.OCIRepositoryRef{Tag: "2.0.0"}
	f.must()
	if _, _, err := loadChart(server.URL, f.obj); err == nil || !strings.Contains(err.Error(), "does not match chart version 1.2.3+build.5") {
		t.Errorf("a tag of another version: %v", err)
	}
}

// packageChart makes of a directory what `helm package --version` makes: all files below a directory of the chart's name.
func packageChart(t *testing.T, dir string) []byte {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(dir, path)
		files["sluice/"+filepath.ToSlash(inside)] = strings.Replace(string(content), "version: 0.0.0\n", "version: "+chartVersion+"\n", 1)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return archive(t, files)
}

// pushChart pushes a chart with its provenance as `helm push` does, under the tag of its version and two others.
func (f *fixture) pushChart(chart []byte) (pushed string) {
	f.Helper()
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), "application/vnd.cncf.helm.config.v1+json")
	for _, part := range []v1.Layer{
		layer(chartLayer, chart), layer("application/vnd.cncf.helm.chart.provenance.v1.prov", []byte("-----BEGIN PGP SIGNED MESSAGE-----\n")),
	} {
		media, _ := part.MediaType()
		var err error
		if image, err = mutate.Append(image, mutate.Addendum{Layer: part, MediaType: media}); err != nil {
			f.Fatal(err)
		}
	}
	for _, tag := range []string{"latest", "2.0.0", "1.2.3_build.5"} {
		ref, err := name.NewTag(f.host + "/charts/sluice:" + tag)
		if err == nil {
			err = remote.Write(ref, image)
		}
		if err != nil {
			f.Fatal(err)
		}
	}
	f.obj.Spec.URL = "oci://" + f.host + "/charts/sluice"
	sum, err := image.Digest()
	if err != nil {
		f.Fatal(err)
	}
	return sum.String()
}

// loadChart reads a chart as helm-controller's loader does, from the status alone, and returns it with the version that its release
// gets: the artifact's digest is checked, the archive is one of a chart, and its version is that of the tag in the revision.
func loadChart(server string, obj *sourcev1.OCIRepository) (chart []byte, version string, err error) {
	artifact := obj.GetArtifact()
	at, err := url.Parse(artifact.URL)
	if err != nil {
		return nil, "", err
	}
	response, err := http.Get(server + at.Path)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, "", errors.New(response.Status)
	}
	verifier := digest.Digest(artifact.Digest).Verifier()
	chart, err = io.ReadAll(io.TeeReader(response.Body, verifier))
	if err == nil && !verifier.Verified() {
		err = errors.New("the digest is not that of the artifact")
	}
	if err != nil {
		return nil, "", err
	}
	stated, err := versionOf(chart)
	if err != nil {
		return nil, "", err
	}
	tag, sum, tagged := strings.Cut(artifact.Revision, "@")
	if !tagged {
		tag, sum = stated.Original(), artifact.Revision
	}
	followed, err := semver.NewVersion(strings.ReplaceAll(tag, "_", "+"))
	if err == nil && !followed.Equal(stated) {
		err = fmt.Errorf("artifact revision %s does not match chart version %s", artifact.Revision, stated)
	}
	if err != nil {
		return nil, "", err
	}
	_, hex, _ := strings.Cut(sum, ":")
	release, err := stated.SetMetadata(hex[:12])
	return chart, release.String(), err
}

// versionOf is the version of a packaged chart: all of it is in one directory, with a Chart.yaml and templates.
func versionOf(chart []byte) (*semver.Version, error) {
	zip, err := gzip.NewReader(bytes.NewReader(chart))
	if err != nil {
		return nil, err
	}
	var about struct{ APIVersion, Name, Version string }
	templates := 0
	for in := tar.NewReader(zip); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		root, path, below := strings.Cut(header.Name, "/")
		if !below || root != "sluice" {
			return nil, fmt.Errorf("chart illegally contains %s outside of the base directory", header.Name)
		}
		content, err := io.ReadAll(in)
		if err == nil && path == "Chart.yaml" {
			err = yaml.Unmarshal(content, &about)
		}
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(path, "templates/") {
			templates++
		}
	}
	if about.APIVersion != "v2" || about.Name != "sluice" || templates == 0 {
		return nil, fmt.Errorf("chart metadata is missing: %+v, %d templates", about, templates)
	}
	return semver.NewVersion(about.Version)
}
