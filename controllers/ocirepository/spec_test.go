// SPDX-License-Identifier: Apache-2.0

package ocirepository

import (
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-cd/sluice/test/make"
)

func TestWhatATagOfARangeMayBe(t *testing.T) {
	for name, tc := range map[string]struct {
		layer, tag string
		want       bool
	}{
		"a version in the range":          {"", "1.2.0", true},
		"one out of it":                   {"", "2.0.0", false},
		"no version":                      {"", "latest", false},
		"a build of a chart":              {chartLayer, "1.2.0_build.5", true},
		"a build of what is no chart":     {"", "1.2.0_build.5", false},
		"a build of a chart out of it":    {chartLayer, "2.0.0_build.5", false},
		"a chart without the name of one": {chartLayer, "1.2.0", true},
	} {
		obj := make.OCIRepository("apps", "app", func(o *sourcev1.OCIRepository) {
			o.Spec.URL, o.Spec.Reference = "oci://registry.example.com/team/app", &sourcev1.OCIRepositoryRef{SemVer: "1.x"}
			if tc.layer != "" {
				o.Spec.LayerSelector = &sourcev1.OCILayerSelector{MediaType: tc.layer}
			}
		})
		if got := mayChoose(obj, tc.tag); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestAPushIsTakenOnce(t *testing.T) {
	key := types.NamespacedName{Namespace: "apps", Name: "app"}
	r := &Reconciler{pushed: map[types.NamespacedName]bool{key: true}}
	if !r.takePushed(key) || r.takePushed(key) || len(r.pushed) > 0 {
		t.Errorf("what is left is %v", r.pushed)
	}
}

func TestWhichLayerIsPulled(t *testing.T) {
	for name, tc := range map[string]struct {
		sizes     []int64
		mediaType string
		want      string // of the error, "" is none
	}{
		"the first":                     {sizes: []int64{1, maxLayer + 1}},
		"an empty one":                  {sizes: []int64{0}},
		"the largest":                   {sizes: []int64{maxLayer}},
		"a larger one":                  {sizes: []int64{maxLayer + 1}, want: "are allowed"},
		"a size that is none":           {sizes: []int64{-1}, want: "has -1 bytes"},
		"none":                          {want: "no layers found"},
		"none of the type":              {sizes: []int64{1}, mediaType: "other", want: "failed to find layer with media type 'other'"},
		"one of the type that is first": {sizes: []int64{1}, mediaType: contentLayer},
	} {
		manifest := &v1.Manifest{}
		for _, size := range tc.sizes {
			manifest.Layers = append(manifest.Layers, v1.Descriptor{MediaType: contentLayer, Size: size})
		}
		got, err := selectLayer(manifest, tc.mediaType)
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) || err == nil && got.Size != tc.sizes[0] {
			t.Errorf("%s: %+v, %v, want %q", name, got, err, tc.want)
		}
	}
}

// A status that the API server does not take would keep the artifact from being seen.
func TestWhatAnArtifactTellsOfItselfIsBounded(t *testing.T) {
	long, fits := strings.Repeat("x", maxMetadata), strings.Repeat("y", maxMetadata/8)
	for name, tc := range map[string]struct{ has, want map[string]string }{
		"a little is kept": {map[string]string{"a": "b", sourceAnnotation: "c"}, map[string]string{"a": "b", sourceAnnotation: "c"}},
		"of too much, where it is from": {
			map[string]string{"a": long, sourceAnnotation: fits, revisionAnnotation: "r"},
			map[string]string{sourceAnnotation: fits, revisionAnnotation: "r"},
		},
		"of too much, but for what is too long of that": {
			map[string]string{"a": long, sourceAnnotation: fits + "y", createdAnnotation: "now"}, map[string]string{createdAnnotation: "now"},
		},
	} {
		if diff := cmp.Diff(tc.want, metadataOf(tc.has)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// Looks at one registry take turns, and those through a proxy are not held by one that is away.
func TestASourceIsOfItsRegistryAndItsProxy(t *testing.T) {
	for want, proxy := range map[string]*meta.LocalObjectReference{
		"registry.example.com:5000": nil, "registry.example.com:5000 through apps/proxy": {Name: "proxy"},
	} {
		obj := make.OCIRepository("apps", "app", func(o *sourcev1.OCIRepository) {
			o.Spec.URL, o.Spec.ProxySecretRef = "oci://registry.example.com:5000/team/app", proxy
		})
		if got := kind().Host(t.Context(), obj); got != want {
			t.Errorf("it is of %q, want %q", got, want)
		}
	}
}
