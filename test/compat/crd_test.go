// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// facts are what clients find a kind by: kubectl by its names and columns, the
// Flux CLI by the label, the VS Code extension by a status that always exists.
type facts struct {
	Short, Categories []string
	Columns           []string
	Status            string
}

var crds = map[string]facts{
	"imagerepositories.image.toolkit.fluxcd.io": {
		Short: []string{"imgrepo", "imagerepo"}, Categories: []string{"all", "fluxcd", "fluxcd-images"},
		Columns: []string{"Image", "Tags", "Ready", "Status", "Last scan", "Age"},
		Status:  `{"observedGeneration":-1}`,
	},
	"imagepolicies.image.toolkit.fluxcd.io": {
		Short: []string{"imgpol", "imagepol"}, Categories: []string{"all", "fluxcd", "fluxcd-images"},
		Columns: []string{"Image", "Tag", "Ready", "Status", "Age"},
		Status:  `{"observedGeneration":-1}`,
	},
	"imageupdateautomations.image.toolkit.fluxcd.io": {
		Short: []string{"iua", "imgupd", "imgauto"}, Categories: []string{"all", "fluxcd", "fluxcd-images"},
		Columns: []string{"Ready", "Status", "Last run", "Age"},
		Status:  `{"observedGeneration":-1}`,
	},
	"gitrepositories.source.toolkit.fluxcd.io": {
		Short: []string{"gitrepo"}, Categories: []string{"all", "fluxcd", "fluxcd-sources"},
		Columns: []string{"URL", "Age", "Ready", "Status"},
		Status:  `{"observedGeneration":-1}`,
	},
	"ocirepositories.source.toolkit.fluxcd.io": {
		Short: []string{"ocirepo"}, Categories: []string{"all", "fluxcd", "fluxcd-sources"},
		Columns: []string{"URL", "Ready", "Status", "Age"},
		Status:  `{"observedGeneration":-1}`,
	},
	"buckets.source.toolkit.fluxcd.io": {
		Categories: []string{"all", "fluxcd", "fluxcd-sources"},
		Columns:    []string{"Endpoint", "Age", "Ready", "Status"},
		Status:     `{"observedGeneration":-1}`,
	},
	"externalartifacts.source.toolkit.fluxcd.io": {
		Short: []string{"ea"}, Categories: []string{"all", "fluxcd", "fluxcd-sources"},
		Columns: []string{"Age", "Ready", "Status", "Source"},
	},
	"artifactgenerators.source.extensions.fluxcd.io": {
		Short: []string{"ag"}, Categories: []string{"all", "fluxcd", "fluxcd-sources"},
		Columns: []string{"Age", "Ready", "Status"},
	},
	"kustomizations.kustomize.toolkit.fluxcd.io": {
		Short: []string{"ks"}, Categories: []string{"all", "fluxcd", "fluxcd-appliers"},
		Columns: []string{"Age", "Ready", "Status"},
		Status:  `{"observedGeneration":-1}`,
	},
	"receivers.notification.toolkit.fluxcd.io": {
		Categories: []string{"all", "fluxcd", "fluxcd-notifications"},
		Columns:    []string{"Age", "Ready", "Status"},
		Status:     `{"observedGeneration":-1}`,
	},
	// Flux's have no status. Ready and Status, after its column, are ours.
	"providers.notification.toolkit.fluxcd.io": {
		Categories: []string{"all", "fluxcd", "fluxcd-notifications"}, Columns: []string{"Age", "Ready", "Status"},
	},
	"alerts.notification.toolkit.fluxcd.io": {
		Categories: []string{"all", "fluxcd", "fluxcd-notifications"}, Columns: []string{"Age", "Ready", "Status"},
	},
	"pipelines.sluice.dev": {
		Short:   []string{"pl"},
		Columns: []string{"Bundle", "Stages", "Ready", "Status", "Age"},
		Status:  `{"observedGeneration":-1}`,
	},
	"freezes.sluice.dev": {
		Columns: []string{"Active", "Window", "Changes", "Pipelines", "Reason"},
		Status:  `{"observedGeneration":-1}`,
	},
	// Flagger's CRDs have neither short names nor a status default. Ready and
	// Message, at the end and only with -o wide, are ours.
	"canaries.flagger.app": {
		Categories: []string{"all"},
		Columns: []string{
			"Status", "Weight", "Suspended", "FailedChecks", "Interval", "Mirror",
			"StepWeight", "StepWeights", "MaxWeight", "LastTransitionTime", "Ready", "Message",
		},
	},
	"metrictemplates.flagger.app": {Categories: []string{"all"}, Columns: []string{"Provider"}},
	"alertproviders.flagger.app":  {Categories: []string{"all"}, Columns: []string{"Type"}},
}

func TestCRDsShowClientsWhatTheyLookFor(t *testing.T) {
	files, err := filepath.Glob("../../config/crd/bases/*.yaml")
	if err != nil || len(files) != len(crds) {
		t.Fatalf("found %d CRDs (%v), want %d", len(files), err, len(crds))
	}
	for _, file := range files {
		crd := readCRD(t, file)
		t.Run(crd.Name, func(t *testing.T) {
			if diff := cmp.Diff(crds[crd.Name], factsOf(t, crd)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", file, diff)
			}
			// `flux uninstall` deletes what carries the label, and with a CRD all of
			// its objects: with the Canaries the primaries that serve users.
			want := "flux"
			if crd.Spec.Group == flaggerv1.GroupVersion.Group {
				want = ""
			}
			if got := crd.Labels["app.kubernetes.io/part-of"]; got != want {
				t.Errorf("label app.kubernetes.io/part-of is %q, want %q", got, want)
			}
		})
	}
}

func readCRD(t *testing.T, file string) *apiextv1.CustomResourceDefinition {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var crd apiextv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(raw, &crd); err != nil {
		t.Fatalf("decoding %s: %v", file, err)
	}
	return &crd
}

func factsOf(t *testing.T, crd *apiextv1.CustomResourceDefinition) facts {
	t.Helper()
	if len(crd.Spec.Versions) != 1 {
		t.Fatalf("serves %d versions, want 1", len(crd.Spec.Versions))
	}
	version := crd.Spec.Versions[0]
	found := facts{Short: crd.Spec.Names.ShortNames, Categories: crd.Spec.Names.Categories}
	for _, column := range version.AdditionalPrinterColumns {
		found.Columns = append(found.Columns, column.Name)
	}
	if value := version.Schema.OpenAPIV3Schema.Properties["status"].Default; value != nil {
		found.Status = string(value.Raw)
	}
	return found
}
