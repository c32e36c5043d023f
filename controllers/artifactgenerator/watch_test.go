// SPDX-License-Identifier: Apache-2.0

package artifactgenerator

import (
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	generatorv1 "github.com/fluxcd/source-watcher/api/v2/v1beta1"
)

// Whoever may write ExternalArtifacts in one namespace had the generators of another one run.
func TestNoExternalArtifactIsMadeByAGeneratorOfAnotherNamespace(t *testing.T) {
	for namespace, want := range map[string]bool{"": true, "apps": true, "flux-system": false} {
		ea := &sourcev1.ExternalArtifact{}
		ea.Namespace = "apps"
		ea.Spec.SourceRef = &meta.NamespacedObjectKindReference{
			APIVersion: generatorv1.GroupVersion.String(), Kind: generatorv1.ArtifactGeneratorKind, Namespace: namespace, Name: "split",
		}
		if maker, ok := makerOf(ea); ok != want || ok && maker.String() != "apps/split" {
			t.Errorf("namespace %q: %v, %t", namespace, maker, ok)
		}
	}
}
