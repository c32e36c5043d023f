// SPDX-License-Identifier: Apache-2.0

package flux

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-cd/sluice/test/harness"
)

// fluxs are objects that an installation of Flux has too, under the same names.
var fluxs = regexp.MustCompile(`^(namespaces?|networkpolic.*|resourcequotas?|services?)/` +
	`|(source|kustomize|notification)\.toolkit\.fluxcd\.io|source\.extensions\.fluxcd\.io|cluster-admin`)

// TestAnInstallationBesideFluxLeavesItAlone applies config/beside, which is for
// clusters where Flux's other controllers stay.
func TestAnInstallationBesideFluxLeavesItAlone(t *testing.T) {
	t.Parallel()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	said := the.command(t, harness.Patience, the.Kubectl, "apply", "--server-side", "--force-conflicts", "--dry-run=server",
		"-o", "name", "-k", filepath.Join(root, "config", "beside"))
	if said.code != 0 {
		t.Fatalf("kubectl apply -k config/beside: exit code %d\n%s", said.code, said.err)
	}
	var kinds []string
	for _, name := range strings.Fields(said.out) {
		if fluxs.MatchString(name) {
			t.Errorf("%s is Flux's", name)
		}
		if kind, name, _ := strings.Cut(name, "/"); kind == "customresourcedefinition.apiextensions.k8s.io" {
			kinds = append(kinds, name)
		}
	}
	slices.Sort(kinds)
	want := []string{
		"alertproviders.flagger.app", "canaries.flagger.app", "freezes.sluice.dev", "imagepolicies.image.toolkit.fluxcd.io",
		"imagerepositories.image.toolkit.fluxcd.io", "imageupdateautomations.image.toolkit.fluxcd.io", "metrictemplates.flagger.app",
		"pipelines.sluice.dev",
	}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Errorf("CRDs (-want +got):\n%s", diff)
	}
	if !strings.Contains(said.out, "deployment.apps/sluice") {
		t.Errorf("there is no controller in it:\n%s", said.out)
	}
}
