// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/api/notification/v1beta3"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	allkinds "github.com/sluice-cd/sluice/internal/kinds"
)

// TestEveryFieldIsDocumented ranges over the kinds whose types are ours: a field that is
// on no page is one that nobody has said how it is honoured, or where it is refused.
func TestEveryFieldIsDocumented(t *testing.T) {
	documented := map[string]struct {
		spec, status any
		pages        []string
	}{
		"Canary":         {flaggerv1.CanarySpec{}, flaggerv1.CanaryStatus{}, []string{"kinds/canary.md", "kinds/targets.md", "routers/*.md"}},
		"MetricTemplate": {flaggerv1.MetricTemplateSpec{}, flaggerv1.MetricTemplateStatus{}, []string{"kinds/metrictemplate.md"}},
		"AlertProvider":  {flaggerv1.AlertProviderSpec{}, flaggerv1.AlertProviderStatus{}, []string{"kinds/alertprovider.md"}},

		"ImageRepository": {imagev1.ImageRepositorySpec{}, imagev1.ImageRepositoryStatus{}, []string{"kinds/imagerepository.md"}},
		"ImagePolicy":     {imagev1.ImagePolicySpec{}, imagev1.ImagePolicyStatus{}, []string{"kinds/imagepolicy.md"}},
		"ImageUpdateAutomation": {
			imagev1.ImageUpdateAutomationSpec{}, imagev1.ImageUpdateAutomationStatus{}, []string{"kinds/imageupdateautomation.md"},
		},

		"Provider": {v1beta3.ProviderSpec{}, v1beta3.Status{}, []string{"kinds/provider.md"}},
		"Alert":    {v1beta3.AlertSpec{}, v1beta3.Status{}, []string{"kinds/alert.md"}},

		"Pipeline": {
			sluicev1.Pipeline{}, sluicev1.PipelineStatus{}, []string{"kinds/pipeline.md", "promotion/setters.md"},
		},
		"Freeze": {sluicev1.Freeze{}, sluicev1.FreezeStatus{}, []string{"kinds/freeze.md"}},
	}
	scheme, err := allkinds.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	for kind, of := range scheme.AllKnownTypes() {
		if _, known := documented[kind.Kind]; !known && ours(of) && !strings.HasSuffix(kind.Kind, "List") {
			t.Errorf("%s: name its pages here", kind)
		}
	}
	for name, kind := range documented {
		t.Run(name, func(t *testing.T) {
			text := pages(t, kind.pages)
			fields := fieldsOf(reflect.TypeOf(kind.spec), nil)
			for field := range reflect.TypeOf(kind.status).Fields() {
				if name := jsonName(field); name != "" { // of an embedded one
					fields = append(fields, name)
				}
			}
			for _, field := range fields {
				if !regexp.MustCompile(`\b` + field + `\b`).MatchString(text) {
					t.Errorf("%s is on none of %v", field, kind.pages)
				}
			}
		})
	}
}

// TestPagesSayWhatIsNotServed: the pages of promotion describe what no cluster has until
// there is a CRD of its kinds.
func TestPagesSayWhatIsNotServed(t *testing.T) {
	crds, err := filepath.Glob("../../config/crd/bases/sluice.dev_*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for page, want := range map[string]string{
		"promotion/*.md": "**Not served yet.**", "../CONTRIBUTING.md": "**Pipeline is not served yet**",
	} {
		if says := strings.Contains(pages(t, []string{page}), want); says != (len(crds) == 0) {
			t.Errorf("%s says %q: %v; the CRDs are %v", page, want, says, crds)
		}
	}
}

func pages(t *testing.T, patterns []string) string {
	t.Helper()
	var text strings.Builder
	for _, pattern := range patterns {
		files, err := filepath.Glob(filepath.Join("..", "..", "docs", pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("no page %s (%v)", pattern, err)
		}
		for _, file := range files {
			page, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			text.Write(page)
		}
	}
	return text.String()
}

// fieldsOf are the names of all fields below a type of ours.
func fieldsOf(of reflect.Type, known []string) []string {
	switch of.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return fieldsOf(of.Elem(), known)
	case reflect.Struct:
	default:
		return known
	}
	if !ours(of) {
		return known
	}
	for field := range of.Fields() {
		if name := jsonName(field); name != "" && !slices.Contains(known, name) {
			known = append(known, name)
		}
		known = fieldsOf(field.Type, known)
	}
	return known
}

// ours reports whether a type is declared below api.
func ours(of reflect.Type) bool {
	api := path.Dir(path.Dir(reflect.TypeFor[flaggerv1.Canary]().PkgPath()))
	return strings.HasPrefix(of.PkgPath(), api+"/")
}

func jsonName(field reflect.StructField) string {
	name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
	return name
}
