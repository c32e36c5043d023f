// SPDX-License-Identifier: Apache-2.0

package git_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
)

func TestFetchedBytesAreCounted(t *testing.T) {
	repo := gitserver.New(t).Repo("app")
	repo.Commit("main", gitserver.Files{"f": "1\n"})
	mirrors := git.NewMirrors(t.TempDir(), clock.RealClock{})
	m, err := mirrors.Get(t.Context(), git.Remote{URL: repo.URL})
	if err != nil {
		t.Fatal(err)
	}
	pull(t, m, "main")
	first := testutil.ToFloat64(mirrors)
	pull(t, m, "main")
	if again := testutil.ToFloat64(mirrors); first < 100 || again != first {
		t.Errorf("%v bytes after a fetch, %v after one of nothing", first, again)
	}
}
