package reconciler

import (
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestVersions(t *testing.T) {
	at := func(version string) *kustomizev1.Kustomization {
		return &kustomizev1.Kustomization{ObjectMeta: metav1.ObjectMeta{Name: "app", ResourceVersion: version}}
	}
	tests := map[string]struct {
		wrote, cached string
		want          bool
	}{
		"an object never written is current":        {cached: "7"},
		"a cache that shows the write is current":   {wrote: "10", cached: "10"},
		"a cache that shows later ones is current":  {wrote: "9", cached: "10"},
		"a cache from before the write is outrun":   {wrote: "10", cached: "9", want: true},
		"versions that do not compare are let pass": {wrote: "10", cached: "x"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var v versions
			if tc.wrote != "" {
				v.wrote(at(tc.wrote))
			}
			if got := v.outrun(at(tc.cached)); got != tc.want {
				t.Errorf("outrun = %v, want %v", got, tc.want)
			}
			v.wrote(at("10"))
			v.forget(client.ObjectKeyFromObject(at("")))
			if v.outrun(at("1")) {
				t.Error("outrun by a write to an object that is gone")
			}
		})
	}
}
