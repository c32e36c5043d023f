// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	generatorv1 "github.com/fluxcd/source-watcher/api/v2/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/api/notification/v1beta3"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

func TestSamplesHaveNoFieldThatIsNotServed(t *testing.T) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		imagev1.AddToScheme, flaggerv1.AddToScheme, sourcev1.AddToScheme, kustomizev1.AddToScheme,
		notificationv1.AddToScheme, v1beta3.AddToScheme, sluicev1.AddToScheme, generatorv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob("../../config/samples/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name := range crds {
		if sample := sampleOf(name); !slices.Contains(files, sample) {
			t.Errorf("%s has no sample %s", name, sample)
		}
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var meta metav1.TypeMeta
			if err := yaml.Unmarshal(raw, &meta); err != nil {
				t.Fatal(err)
			}
			object, err := scheme.New(meta.GroupVersionKind())
			if err != nil {
				t.Fatal(err)
			}
			if err := yaml.UnmarshalStrict(raw, object); err != nil {
				t.Errorf("decoding: %v", err)
			}
		})
	}
}

// sampleOf is the file of the sample of a CRD. Kustomize takes a kustomization.yaml for
// its own.
func sampleOf(crd string) string {
	plural, _, _ := strings.Cut(crd, ".")
	name := strings.TrimSuffix(plural, "s")
	switch {
	case plural == "kustomizations":
		name = "kustomization-object"
	case strings.HasSuffix(plural, "ies"):
		name = strings.TrimSuffix(plural, "ies") + "y"
	}
	return "../../config/samples/" + name + ".yaml"
}
