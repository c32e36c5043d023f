// SPDX-License-Identifier: Apache-2.0

package gitrepository

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/sluice-cd/sluice/internal/disk"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/git/credential"
	"github.com/sluice-cd/sluice/internal/tree"
	"github.com/sluice-cd/sluice/source"
)

const (
	// maxIncludes and maxSparse bound what a spec lists.
	maxIncludes = 100
	maxSparse   = 1000
)

// check refuses a spec that can mean nothing. Its errors are for a person to mend.
func check(obj *sourcev1.GitRepository) error {
	if err := source.CheckIgnore(obj.Spec.Ignore); err != nil {
		return source.StorageFailed(err)
	}
	if n := len(obj.Spec.SparseCheckout); n > maxSparse {
		return source.FetchFailed(sourcev1.GitOperationFailedReason,
			fmt.Errorf("spec.sparseCheckout has %d directories, of which %d are allowed", n, maxSparse))
	}
	for _, dir := range obj.Spec.SparseCheckout {
		if _, err := tree.Split(dir); err != nil {
			return source.FetchFailed(sourcev1.GitOperationFailedReason, fmt.Errorf("spec.sparseCheckout: %q leads out of the repository", dir))
		}
	}
	return checkIncludes(obj)
}

// artifactContent is what of a commit, and of what belongs to it, makes an artifact.
type artifactContent struct {
	obj      *sourcev1.GitRepository
	seen     observed
	mirrors  *git.Mirrors
	opener   *source.Opener
	included []included

	// files and message are there once it was gathered.
	files   source.Files
	message string
}

// isPlain reports whether it is the commit as it is.
func (c *artifactContent) isPlain() bool {
	return len(c.obj.Spec.SparseCheckout) == 0 && !c.obj.Spec.RecurseSubmodules && len(c.included) == 0
}

// artifacts are those that are included.
func (c *artifactContent) artifacts() []*meta.Artifact {
	var all []*meta.Artifact
	for _, i := range c.included {
		all = append(all, i.artifact)
	}
	return all
}

// name is the name of the artifact's file. What is made of one commit in several ways has
// several, so that whoever has the URL of one does not get another.
func (c *artifactContent) name() string {
	if c.isPlain() {
		return c.seen.Commit.String()
	}
	digests := make([]string, 0, len(c.included))
	for _, i := range c.included {
		digests = append(digests, i.artifact.Digest)
	}
	// Lists of strings and flags can be encoded.
	made, _ := json.Marshal([]any{c.obj.Spec.SparseCheckout, c.obj.Spec.RecurseSubmodules, c.obj.Spec.Include, digests})
	return fmt.Sprintf("%s-%.16x", c.seen.Commit, sha256.Sum256(made))
}

// isRecorded reports whether the status says that the artifact was made so.
func (c *artifactContent) isRecorded() bool {
	status := &c.obj.Status
	same := func(a, b *meta.Artifact) bool { return a.HasRevision(b.Revision) && a.HasDigest(b.Digest) }
	return equality.Semantic.DeepEqual(status.ObservedInclude, c.obj.Spec.Include) &&
		equality.Semantic.DeepEqual(status.ObservedSparseCheckout, c.obj.Spec.SparseCheckout) &&
		status.ObservedRecurseSubmodules == c.obj.Spec.RecurseSubmodules &&
		slices.EqualFunc(status.IncludedArtifacts, c.artifacts(), same)
}

// record says in the status how the artifact was made.
func (c *artifactContent) record() {
	spec := c.obj.Spec.DeepCopy()
	c.obj.Status.ObservedInclude = spec.Include
	c.obj.Status.ObservedSparseCheckout = spec.SparseCheckout
	c.obj.Status.ObservedRecurseSubmodules = spec.RecurseSubmodules
	c.obj.Status.IncludedArtifacts = c.artifacts()
}

// gather finds the files of the commit, which the mirror has, and fetches what they lack.
func (c *artifactContent) gather(ctx context.Context) error {
	commit, err := c.seen.mirror.Tree(c.seen.Commit)
	if err != nil {
		return source.StorageFailed(err)
	}
	c.message = commit.Info().Message
	if c.isPlain() {
		c.files = commit
		return nil
	}
	parts, err := c.sparse(commit)
	if err != nil {
		return err
	}
	submodules, err := c.submodules(ctx, commit)
	if err != nil {
		return err
	}
	if c.files, err = source.Compose(append(parts, submodules...)); err != nil {
		return source.StorageFailed(err)
	}
	return c.addIncluded(ctx, append(parts, submodules...))
}

// sparse are the directories of the commit that are wanted.
func (c *artifactContent) sparse(commit *git.CommitTree) ([]source.Part, error) {
	var parts []source.Part
	for _, dir := range c.sparseDirs() {
		entry, err := commit.Stat(dir)
		if err == nil && entry.Mode != tree.Dir {
			err = tree.ErrNotDir
		}
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, tree.ErrNotDir):
			// Another commit may have it.
			return nil, source.FetchFailed(sourcev1.GitOperationFailedReason,
				fmt.Errorf("failed to sparse checkout directories: spec.sparseCheckout: commit %s has no directory '%s'", c.seen.Commit, dir))
		case err != nil:
			return nil, source.StorageFailed(err)
		}
		parts = append(parts, source.Part{MountPath: dir, Files: commit, From: dir})
	}
	return parts, nil
}

// sparseDirs are the directories of spec.sparseCheckout without those within others; the
// root, if there are none.
func (c *artifactContent) sparseDirs() []string {
	dirs := make([]string, 0, len(c.obj.Spec.SparseCheckout))
	for _, dir := range c.obj.Spec.SparseCheckout {
		parts, _ := tree.Split(dir) // was checked
		dirs = append(dirs, path.Join(parts...))
	}
	if len(dirs) == 0 || slices.Contains(dirs, "") {
		return []string{""}
	}
	slices.Sort(dirs)
	var kept []string
	for _, dir := range dirs {
		if !slices.ContainsFunc(kept, func(above string) bool { return isWithin(dir, above) }) {
			kept = append(kept, dir)
		}
	}
	return kept
}

// isWithin reports whether a path is a directory, or in it; everything is in the root.
func isWithin(name, dir string) bool {
	return dir == "" || name == dir || strings.HasPrefix(name, dir+"/")
}

// submodules fetches those in directories that are wanted.
func (c *artifactContent) submodules(ctx context.Context, commit *git.CommitTree) ([]source.Part, error) {
	if !c.obj.Spec.RecurseSubmodules {
		return nil, nil
	}
	dirs := c.sparseDirs()
	wanted := func(name string) bool {
		return slices.ContainsFunc(dirs, func(dir string) bool { return isWithin(name, dir) })
	}
	found, err := c.mirrors.Submodules(ctx, c.seen.remote, commit, wanted)
	switch {
	case errors.Is(err, disk.ErrFull):
		return nil, source.StorageFailed(err)
	case err != nil:
		return nil, source.FetchFailed(reasonOf(err), fmt.Errorf("spec.recurseSubmodules: %w", credential.Advise(c.obj, err)))
	}
	parts := make([]source.Part, 0, len(found))
	for _, submodule := range found {
		parts = append(parts, source.Part{MountPath: submodule.Path, Files: submodule.Files})
	}
	return parts, nil
}

// addIncluded puts the artifacts of other sources among the files.
func (c *artifactContent) addIncluded(ctx context.Context, parts []source.Part) error {
	for _, i := range c.included {
		opened, err := c.opener.Open(ctx, c.obj.Namespace, i.artifact)
		var files source.Files
		if err == nil {
			files, err = source.FilesOf(opened)
		}
		if err != nil {
			return i.failed(fmt.Errorf("reading the artifact of '%s': %w", i.GitRepositoryRef.Name, err))
		}
		parts = append(parts, source.Part{MountPath: i.GetToPath(), Files: files, From: i.GetFromPath()})
		composed, err := source.Compose(parts)
		switch {
		case errors.Is(err, fs.ErrExist), errors.Is(err, tree.ErrNotDir):
			return i.failed(fmt.Errorf("toPath '%s' is there already: choose another, or remove it from the repository: %w",
				i.GetToPath(), err))
		case errors.Is(err, fs.ErrNotExist):
			return i.failed(fmt.Errorf("fromPath '%s' is not in the artifact: %w", i.GetFromPath(), err))
		case err != nil:
			return i.failed(err)
		}
		c.files = composed
	}
	return nil
}
