// SPDX-License-Identifier: Apache-2.0

package source_test

import (
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"

	"github.com/sluice-cd/sluice/internal/tree"
	"github.com/sluice-cd/sluice/source"
)

// TestFilesInMemoryAreCounted: views of artifacts from registries were kept without bounds.
func TestFilesInMemoryAreCounted(t *testing.T) {
	large, err := tree.FromStrings(map[string]string{"large": strings.Repeat("x", 9<<20)})
	if err != nil {
		t.Fatal(err)
	}
	files, err := source.FilesOf(large)
	if err != nil {
		t.Fatal(err)
	}
	store := source.NewStore(t.TempDir(), "store.example.com", nil)
	view, err := source.NewView(t.Context(), files, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	key := source.Key{Kind: "OCIRepository", Namespace: "apps", Name: "app"}
	store.Publish(key, &meta.Artifact{Digest: "sha256:1"}, view)
	if store.Published("sha256:1") != nil {
		t.Error("9 MiB of files stay in memory")
	}
}
