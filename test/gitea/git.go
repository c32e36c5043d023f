// SPDX-License-Identifier: Apache-2.0

package gitea

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/sluice-cd/sluice/test/harness"
)

// Clone clones a repository into dir as the person, with a name and an address to
// commit with.
func (p *Person) Clone(ctx context.Context, r *Repo, dir string) error {
	for _, args := range [][]string{
		{"clone", "-q", p.CloneURL(r), dir},
		{"-C", dir, "config", "user.name", p.Name},
		{"-C", dir, "config", "user.email", email(p.Name)},
	} {
		if _, err := harness.Git(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// Local is the repository as the server keeps it, to be read with git; it has no clone to
// commit through.
func (r *Repo) Local() *harness.Repo {
	folder := strings.ToLower(filepath.Join(r.Owner, r.Name) + ".git")
	return &harness.Repo{URL: r.URL, Bare: filepath.Join(r.server.dir, "data", "gitea-repositories", folder)}
}

// Revert pushes a new branch that takes a commit of the default branch back, as the
// person, and returns the commit that does. Of a merge it takes back what was merged.
func (p *Person) Revert(ctx context.Context, r *Repo, commit, branch string) (string, error) {
	dir, err := os.MkdirTemp("", "revert")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	if err := p.Clone(ctx, r, dir); err != nil {
		return "", err
	}
	revert := []string{"-C", dir, "revert", "--no-edit"}
	if _, err := harness.Git(ctx, "-C", dir, "rev-parse", "-q", "--verify", commit+"^2"); err == nil {
		revert = append(revert, "-m", "1")
	}
	for _, args := range [][]string{
		append(revert, commit),
		{"-C", dir, "push", "-q", "origin", "HEAD:refs/heads/" + branch},
	} {
		if _, err := harness.Git(ctx, args...); err != nil {
			return "", err
		}
	}
	return harness.Git(ctx, "-C", dir, "rev-parse", "HEAD")
}
