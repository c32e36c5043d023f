// SPDX-License-Identifier: Apache-2.0

// Package remote fetches what kustomizations refer to outside of their source, for builds:
//
//	repository at a ref --> mirror of it --> the ref's commit --> its files, and submodules
//	URL                 --> the file
//
// Nobody is named to the servers: neither the controller nor the source has credentials for what others
// wrote into a kustomization file. All connections go through the guard of those that objects lead to. A
// repository is asked for its refs once in a build, unless the ref is a commit, and sends what its mirror
// does not have yet; mirrors are those of GitRepositories, so that they are shared, bounded and swept.
//
// A [Session] is made for one build: what is fetched is the same until its end.
package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/sluice-cd/sluice/apply/build"
	"github.com/sluice-cd/sluice/apply/remoteref"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/outbound"
	"github.com/sluice-cd/sluice/internal/tree"
)

// Bounds of a build.
const (
	// maxTimeout is how long a reference may have it take to fetch it, and fileTimeout how long a file may take.
	maxTimeout  = 2 * time.Minute
	fileTimeout = time.Minute
	// maxFile and maxFiles are how many bytes one file, and all of a build, may have.
	maxFile  = 16 << 20
	maxFiles = 32 << 20
)

// errNeedsKey says that SSH cannot be used.
var errNeedsKey = fmt.Errorf("%w over ssh, which needs a key, and none is used for what a kustomization refers to: write https://, "+
	"or name a GitRepository with that key and include it", build.ErrRemote)

// Fetcher fetches for all builds. The fields are set before the first session.
type Fetcher struct {
	// Mirrors are the mirrors of repositories.
	Mirrors *git.Mirrors
	// Guard is what files are fetched through; nil forbids nothing.
	Guard *outbound.Guard
}

// Session is what one build fetches. It is used by one goroutine at a time.
type Session struct {
	fetcher   *Fetcher
	namespace string
	files     map[string]fileResult
	trees     map[remoteref.Repository]treeResult
	size      int64
}

type fileResult struct {
	data []byte
	err  error
}

type treeResult struct {
	files tree.Tree
	err   error
}

// Session begins one for a build of a namespace.
func (f *Fetcher) Session(namespace string) *Session {
	return &Session{
		fetcher: f, namespace: namespace, files: map[string]fileResult{}, trees: map[remoteref.Repository]treeResult{},
	}
}

// Fetch has a build fetch by the session, for as long as ctx.
func (s *Session) Fetch(ctx context.Context, spec *build.Spec) {
	spec.FetchFile = func(address string) ([]byte, error) { return s.file(ctx, address) }
	spec.FetchRepository = func(of remoteref.Repository) (tree.Tree, error) { return s.repository(ctx, of) }
}

func (s *Session) file(ctx context.Context, address string) ([]byte, error) {
	known, ok := s.files[address]
	if !ok {
		known.data, known.err = s.fetchFile(ctx, address)
		s.files[address] = known
	}
	return known.data, known.err
}

func (s *Session) repository(ctx context.Context, of remoteref.Repository) (tree.Tree, error) {
	key := of
	key.Path = "" // which is all the same to a repository
	known, ok := s.trees[key]
	if !ok {
		known.files, known.err = s.fetchRepository(ctx, of)
		s.trees[key] = known
	}
	return known.files, known.err
}

// fetchFile fetches a file. Errors quote nothing that the server says.
func (s *Session) fetchFile(ctx context.Context, address string) ([]byte, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("%w: its URL has characters that must be percent-encoded", build.ErrNoFile)
	}
	if s.size >= maxFiles {
		return nil, fmt.Errorf("%w: more than %d bytes in files from elsewhere; commit some to the source", build.ErrTooLarge, maxFiles)
	}
	u.Scheme = strings.ToLower(u.Scheme)
	ctx, cancel := context.WithTimeout(ctx, fileTimeout)
	defer cancel()
	transport := s.fetcher.Guard.Transport()
	transport.DisableKeepAlives = true
	client := outbound.NewClient(transport, outbound.Rules{
		Redirects: outbound.AnyServer, Limits: outbound.Limits{Bytes: min(maxFile, maxFiles-s.size), What: "the file", Kind: build.ErrTooLarge},
	})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("%w: its URL cannot be asked for", build.ErrNoFile)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, withoutURL(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode/100 != 2 {
		return nil, fmt.Errorf("%w: it answers %d %s", build.ErrNoFile, resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, withoutURL(err)
	}
	s.size += int64(len(data))
	return data, nil
}

// withoutURL strips the address from an error of an HTTP client: its callers name it themselves.
func withoutURL(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return err
}

// fetchRepository fetches the files of a repository.
func (s *Session) fetchRepository(ctx context.Context, of remoteref.Repository) (tree.Tree, error) {
	if strings.HasPrefix(of.URL, "ssh://") {
		return nil, errNeedsKey
	}
	ctx, cancel := context.WithTimeout(ctx, min(of.Timeout, maxTimeout))
	defer cancel()
	remote := git.Remote{URL: of.URL, Namespace: s.namespace}
	mirror, err := s.fetcher.Mirrors.Get(ctx, remote)
	if err != nil {
		return nil, err
	}
	commit, ref, err := commitOf(ctx, mirror, of.Ref)
	if err != nil {
		return nil, err
	}
	if err := mirror.Fetch(ctx, ref, commit); err != nil {
		return nil, err
	}
	files, err := mirror.Tree(commit)
	if err != nil || !of.Submodules {
		return files, err
	}
	submodules, err := s.fetcher.Mirrors.Submodules(ctx, remote, files, func(string) bool { return true })
	if err != nil || len(submodules) == 0 {
		return files, err
	}
	within := make(map[string]tree.Tree, len(submodules))
	for _, submodule := range submodules {
		within[submodule.Path] = submodule.Files
	}
	return tree.WithSubmodules(files, within), nil
}

// commitOf is the commit that a ref is now, by the rules of git fetch, and the full name of the ref.
func commitOf(ctx context.Context, mirror *git.Mirror, ref string) (commit plumbing.Hash, full string, err error) {
	if plumbing.IsHash(ref) {
		return plumbing.NewHash(ref), ref, nil
	}
	refs, err := mirror.Refs(ctx)
	switch {
	case err != nil:
		return plumbing.ZeroHash, "", err
	case len(refs) == 0:
		return plumbing.ZeroHash, "", git.ErrEmptyRepository
	}
	names := []string{"HEAD"}
	if ref != "" {
		names = []string{ref, "refs/" + ref, "refs/tags/" + ref, "refs/heads/" + ref}
	}
	for _, name := range names {
		if commit, ok := refs[name]; ok {
			return commit, name, nil
		}
	}
	return plumbing.ZeroHash, "", fmt.Errorf("%w: %s is neither a branch nor a tag, nor a whole commit", git.ErrRefNotFound, names[0])
}
