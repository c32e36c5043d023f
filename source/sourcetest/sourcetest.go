// SPDX-License-Identifier: Apache-2.0

// Package sourcetest reads artifacts, for tests of those that publish them.
package sourcetest

import (
	"testing"

	"github.com/fluxcd/pkg/apis/meta"

	"github.com/sluice-cd/sluice/internal/tree"
	"github.com/sluice-cd/sluice/source"
)

// Files are the contents of an artifact's files, by path.
func Files(t testing.TB, store *source.Store, artifact *meta.Artifact) map[string]string {
	t.Helper()
	opened, err := source.NewOpener(store).Open(t.Context(), "apps", artifact)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	err = tree.Walk(opened, "", func(path string, _ tree.Entry) error {
		data, err := opened.ReadFile(path)
		all[path] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
