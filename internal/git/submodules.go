// SPDX-License-Identifier: Apache-2.0

package git

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"

	"github.com/sluice-cd/sluice/internal/tree"
)

// ErrSubmodules means that the submodules of a commit cannot be had, whatever their
// remotes say: they are described wrongly, or are beyond what is accepted.
var ErrSubmodules = errors.New("unusable submodules")

const (
	modulesFile = ".gitmodules"
	// maxModulesFile bounds that file, in bytes.
	maxModulesFile = 64 << 10
	// maxSubmodules bounds the submodules of a commit, those within others counted too,
	// and maxSubmoduleDepth how deep they may be within one another, as Git itself does.
	maxSubmodules     = 100
	maxSubmoduleDepth = 10
)

// Submodule is what shows at a path of a commit, from another repository.
type Submodule struct {
	Path  string
	Files *CommitTree
}

// Submodules fetches the submodules of a commit, and those within them: each by the
// commit that the directory names, from the URL in .gitmodules. Those whose path is not
// wanted are left alone. The credentials of the remote go to its own host only.
func (m *Mirrors) Submodules(ctx context.Context, of Remote, files *CommitTree, wanted func(path string) bool) ([]Submodule, error) {
	f := submoduleFetch{mirrors: m, wanted: wanted}
	if err := f.within(ctx, of, files, "", 0); err != nil {
		return nil, err
	}
	return f.found, nil
}

// submoduleFetch is one run of [Mirrors.Submodules].
type submoduleFetch struct {
	mirrors *Mirrors
	wanted  func(string) bool
	found   []Submodule
}

// within fetches the submodules of files that show at a path.
func (f *submoduleFetch) within(ctx context.Context, of Remote, files *CommitTree, at string, depth int) error {
	if depth >= maxSubmoduleDepth {
		return fmt.Errorf("%w: more than %d within one another, at %s", ErrSubmodules, maxSubmoduleDepth, quoted(at))
	}
	urls, err := readModules(files)
	if err != nil {
		return fmt.Errorf("%s: %w", path.Join(at, modulesFile), err)
	}
	for _, name := range slices.Sorted(maps.Keys(urls)) {
		entry, err := files.Stat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist), err == nil && entry.Mode != tree.Submodule:
			continue // it was removed, and its description was not
		case err != nil:
			return err
		}
		shown := path.Join(at, name)
		if !f.wanted(shown) {
			continue
		}
		if len(f.found) >= maxSubmodules {
			return fmt.Errorf("%w: more than %d", ErrSubmodules, maxSubmodules)
		}
		remote, err := of.submodule(urls[name])
		if err == nil {
			err = f.fetch(ctx, remote, shown, entry.Hash, depth)
		}
		if err != nil {
			return fmt.Errorf("submodule %s: %w", quoted(shown), err)
		}
	}
	return nil
}

// fetch fetches one submodule, and those within it.
func (f *submoduleFetch) fetch(ctx context.Context, remote Remote, shown, commit string, depth int) error {
	mirror, err := f.mirrors.Get(ctx, remote)
	if err != nil {
		return err
	}
	want := plumbing.NewHash(commit)
	if err := mirror.Fetch(ctx, commit, want); err != nil {
		return err
	}
	files, err := mirror.Tree(want)
	if err != nil {
		return err
	}
	f.found = append(f.found, Submodule{Path: shown, Files: files})
	return f.within(ctx, remote, files, shown, depth+1)
}

// readModules reads the URLs of submodules by their path; none without a .gitmodules.
func readModules(files *CommitTree) (map[string]string, error) {
	entry, err := files.Stat(modulesFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !entry.Mode.IsFile():
		return nil, fmt.Errorf("%w: it is no file", ErrSubmodules)
	}
	size, err := files.BlobSize(entry.Hash)
	switch {
	case err != nil:
		return nil, err
	case size > maxModulesFile:
		return nil, fmt.Errorf("%w: it has %d bytes, of which %d are allowed", ErrSubmodules, size, maxModulesFile)
	}
	data, err := files.ReadBlob(entry.Hash)
	if err != nil {
		return nil, err
	}
	return parseModules(data)
}

// parseModules reads a .gitmodules.
func parseModules(data []byte) (map[string]string, error) {
	modules := config.NewModules()
	if err := modules.Unmarshal(data); err != nil {
		return nil, fmt.Errorf("%w: it cannot be parsed: %w", ErrSubmodules, err)
	}
	urls := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(modules.Submodules)) {
		module := modules.Submodules[name]
		parts, err := tree.Split(module.Path)
		if err != nil || len(parts) == 0 || module.URL == "" {
			continue // it describes nothing
		}
		urls[path.Join(parts...)] = module.URL
	}
	return urls, nil
}

// submodule is the remote that a URL in .gitmodules names: relative to this one if it
// begins with a dot, and also in the form of scp.
func (r Remote) submodule(address string) (Remote, error) {
	parent, err := parseURL(r.URL)
	if err != nil {
		return Remote{}, err
	}
	var at *url.URL
	if strings.HasPrefix(address, "./") || strings.HasPrefix(address, "../") {
		at = bare(parent)
		at.Path, at.RawPath = path.Join(parent.Path, address), ""
		at.User = parent.User
	} else if at, err = parseModuleURL(address); err != nil {
		return Remote{}, err
	}
	sub := Remote{Namespace: r.Namespace}
	if at.Scheme == parent.Scheme && strings.EqualFold(at.Host, parent.Host) {
		sub.Auth = r.Auth
		if at.User == nil {
			at.User = parent.User
		}
	} else {
		sub.Auth.Proxy = r.Auth.Proxy
	}
	sub.URL = at.String()
	return sub, nil
}

// parseModuleURL is parseURL, and reads the form of scp, too.
func parseModuleURL(address string) (*url.URL, error) { return parseURL(FromSCP(address)) }
