// SPDX-License-Identifier: Apache-2.0

package report_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/sluice-cd/sluice/report"
)

func TestWhoseEventsAreToldWithThoseOfAnObject(t *testing.T) {
	for name, tc := range map[string]struct{ kind, spec, want string }{
		"a Kustomization": {"Kustomization", "sourceRef: {kind: GitRepository, name: fleet}", "GitRepository/apps/fleet"},
		"a Kustomization of a source elsewhere": {
			"Kustomization", "sourceRef: {kind: OCIRepository, name: fleet, namespace: flux-system}", "OCIRepository/flux-system/fleet",
		},
		"a HelmRelease with a chart": {
			"HelmRelease", "chart: {spec: {chart: web, sourceRef: {kind: HelmRepository, name: charts, namespace: infra}}}",
			"HelmRepository/infra/charts HelmChart/infra/apps-a",
		},
		"a HelmRelease of an artifact": {"HelmRelease", "chartRef: {kind: OCIRepository, name: web}", "OCIRepository/apps/web"},
		"an ImagePolicy":               {"ImagePolicy", "imageRepositoryRef: {name: web, namespace: images}", "ImageRepository/images/web"},
		"an Alert":                     {"Alert", "providerRef: {name: chat}", "Provider/apps/chat"},
		"a source":                     {"GitRepository", "url: https://git.example.com/a", ""},
		"one whose field is something else": {
			"Kustomization", "sourceRef: fleet", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			u := &unstructured.Unstructured{}
			text := "apiVersion: x/v1\nkind: " + tc.kind + "\nmetadata: {namespace: apps, name: a}\nspec: {" + tc.spec + "}\n"
			if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, ref := range report.ToldWith(u) {
				got = append(got, ref.Kind+"/"+ref.Namespace+"/"+ref.Name)
			}
			if strings.Join(got, " ") != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
