// SPDX-License-Identifier: Apache-2.0

package build

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/kustomize/api/konfig"

	"github.com/sluice-cd/sluice/apply/remoteref"
	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/tree"
)

// What a kustomization refers to outside of its source is fetched by the caller of a build, and shown to
// kustomize as directories beside the source, out of which no path leads:
//
//	resources: [https://github.com/org/repo//base?ref=v1]  ->  ../remote-base/1/base
//	patches: [{path: https://example.com/patch.yaml}]      ->  ../remote-base/2/patch.yaml
//
// Kustomization files in there are vetted like all others, and may refer to more.

// FetchFile returns the file at a URL. The error is [ErrNoFile] if the server says that it has none.
type FetchFile func(address string) ([]byte, error)

// FetchRepository returns the files of a repository at a ref. The error is [ErrRemote] if it never will.
type FetchRepository func(remoteref.Repository) (tree.Tree, error)

// ErrNoFile says that a server has no file at a URL. A repository may be there.
var ErrNoFile = errors.New("the server has no such file")

// ErrFetch says that something that a kustomization refers to could not be fetched, which may be another time.
var ErrFetch = errors.New("fetching what a kustomization refers to")

// fetchError is an error that is ErrFetch without saying so.
type fetchError struct{ error }

func (e fetchError) Unwrap() error        { return e.error }
func (e fetchError) Is(target error) bool { return target == ErrFetch }

// remoteMount is where the overlay shows what was fetched, by number.
const remoteMount = "/remote-base"

// maxRemotes is how much one build may fetch.
const maxRemotes = 100

// mounted is a tree that the overlay shows at a directory.
type mounted struct {
	tree     tree.Tree
	symlinks *tree.Links
	at       string
	// name is what people call it, "" for the source.
	name string
	// repository is what it is, or else file the URL of the only one.
	repository remoteref.Repository
	file       string
}

// remoteUse is what kustomize takes the target of a reference for.
type remoteUse int

const (
	aFile remoteUse = iota
	aDirectory
	eitherOfThem // a file if it is one, and else a directory
)

// remotes are the trees that a build has fetched.
type remotes struct {
	fetchFile       FetchFile
	fetchRepository FetchRepository
	mounts          []*mounted
	// known are the paths of what was fetched, by reference and use.
	known map[remoteKey]string
	// moves says that something of it may be something else the next time.
	moves bool
}

type remoteKey struct {
	ref string
	use remoteUse
}

// remote returns the path of what a reference leads to, from the directory of the kustomization file.
func (v *referenceRewriter) remote(ref string, use remoteUse) (string, error) {
	if v.o.fetchFile == nil {
		return "", fmt.Errorf("%w: %s; commit it to the source, or run the controller with --no-remote-bases=false",
			ErrRemote, remoteref.Redacted(ref))
	}
	key := remoteKey{strings.TrimSpace(ref), use}
	at, known := v.o.known[key]
	if !known {
		var err error
		if at, err = v.fetch(key.ref, use); err != nil {
			return "", fmt.Errorf("%s: %w", remoteref.Redacted(ref), err)
		}
		v.o.known[key] = at
	}
	return relative(v.dir, at), nil
}

// fetch fetches what a reference leads to, and returns its path in the overlay. As kustomize does, it takes what
// may be either for a file first; unless the reference says of itself that it is a directory.
func (v *referenceRewriter) fetch(ref string, use remoteUse) (string, error) {
	if err := v.o.ended(); err != nil {
		return "", err
	}
	if len(v.o.mounts) >= maxRemotes {
		return "", tooLarge(maxRemotes, "remote bases and files", "commit some to the source")
	}
	if use == aDirectory || !remoteref.IsFile(ref) || use == eitherOfThem && remoteref.IsPlain(ref) {
		return v.fetchAsDirectory(ref, use)
	}
	at, err := v.fetchAsFile(ref, use)
	if err == nil || use == aFile || !errors.Is(err, ErrNoFile) {
		return at, err
	}
	if _, wrong := remoteref.Parse(ref); wrong != nil {
		return "", err // it can be nothing else
	}
	return v.fetchAsDirectory(ref, use)
}

// fetchAsDirectory fetches a repository, and returns the path of the directory in it.
func (v *referenceRewriter) fetchAsDirectory(ref string, use remoteUse) (string, error) {
	repository, err := remoteref.Parse(ref)
	switch {
	case err != nil:
		return "", err
	case use == aFile:
		return "", errors.New("a file has to be at a URL that begins with https:// or http://")
	}
	files, err := v.o.fetchRepository(repository)
	switch {
	case errors.Is(err, ErrRemote):
		return "", err
	case err != nil:
		return "", fetchError{err}
	}
	v.o.moves = v.o.moves || !repository.Pinned()
	return path.Join(v.o.mountAt(&mounted{tree: files, name: repository.String(), repository: repository}), repository.Path), nil
}

// fetchAsFile fetches a file. What has no objects is none, where it could be a directory instead: a forge shows
// a page at the URL of a repository.
func (v *referenceRewriter) fetchAsFile(ref string, use remoteUse) (string, error) {
	data, err := v.o.fetchFile(ref)
	if err != nil {
		return "", fetchFailure(err)
	}
	if int64(len(data)) > v.o.bounds.FileBytes {
		return "", tooLarge(v.o.bounds.FileBytes, "bytes in "+remoteref.Redacted(ref), "split the file")
	}
	if err := v.o.mem.Grow(int64(len(data))); err != nil {
		return "", err
	}
	if use == eitherOfThem {
		if err := v.o.checkObjects(data); err != nil {
			return "", fetchFailure(err)
		}
	}
	name := fileNameOf(ref)
	files, err := tree.New(map[string]tree.Content{name: {Data: data}})
	if err != nil {
		return "", err
	}
	v.o.moves = true
	return path.Join(v.o.mountAt(&mounted{tree: files, name: remoteref.Redacted(strings.TrimSuffix(ref, "/"+name)), file: ref}), name), nil
}

// fetchFailure is err as [ErrFetch], unless it is a bound that was exceeded.
func fetchFailure(err error) error {
	if errors.Is(err, ErrTooLarge) || errors.Is(err, budget.ErrExhausted) {
		return err
	}
	return fetchError{err}
}

// checkObjects is ErrNoFile for what has no objects in it.
func (w *decodeLimiter) checkObjects(data []byte) error {
	_, err := w.bounds.weigh(data, w.mem)
	switch {
	case errors.Is(err, ErrTooLarge), errors.Is(err, budget.ErrExhausted), errors.Is(err, budget.ErrTooLarge):
		return err
	case err != nil:
		return fmt.Errorf("%w: what is there is no YAML", ErrNoFile)
	}
	if found, err := newResources(data); err != nil || found.Size() == 0 {
		return fmt.Errorf("%w: what is there has no objects in it", ErrNoFile)
	}
	return nil
}

// fileNameOf is the last name of a URL, or another one if it has none, or one that kustomize takes for its own.
func fileNameOf(ref string) string {
	const other = "file.yaml"
	u, err := url.Parse(ref)
	if err != nil {
		return other
	}
	name := path.Base(u.Path)
	if name == "." || name == "/" || name == ".." || slices.Contains(konfig.RecognizedKustomizationFileNames(), name) {
		return other
	}
	return name
}

// mountAt shows a tree, and returns where.
func (r *remotes) mountAt(m *mounted) string {
	m.symlinks, m.at = linksOf(m.tree), path.Join(remoteMount, strconv.Itoa(len(r.mounts)+1))
	r.mounts = append(r.mounts, m)
	return m.at
}

// mountOf is what was fetched that has a path of the overlay, or nil, and the path in it.
func (r *remotes) mountOf(name string) (m *mounted, inside string) {
	rest, ok := strings.CutPrefix(name, remoteMount+"/")
	if !ok {
		return nil, ""
	}
	number, inside, _ := strings.Cut(rest, "/")
	i, err := strconv.Atoi(number)
	if err != nil || i < 1 || i > len(r.mounts) {
		return nil, ""
	}
	return r.mounts[i-1], path.Join(".", inside)
}

// contained refuses a reference in something fetched that leads out of that, as kustomize does.
func (v *referenceRewriter) contained(ref string) error {
	in, _ := v.o.mountOf(v.dir)
	if in == nil || ref == "" {
		return nil
	}
	if at := v.abs(ref); at != in.at && !strings.HasPrefix(at, in.at+"/") {
		return fmt.Errorf("%s leads out of %s", ref, in.name)
	}
	return nil
}

// mountText matches the paths of what was fetched in errors of kustomize.
var mountText = regexp.MustCompile(`(?:\.\./|\./)*/?remote-base/([0-9]+)`)

// named is a text with the names of what was fetched in place of its paths.
func (r *remotes) named(text string) string {
	if len(r.mounts) == 0 {
		return text
	}
	return mountText.ReplaceAllStringFunc(text, func(found string) string {
		m, _ := r.mountOf(remoteMount + "/" + mountText.FindStringSubmatch(found)[1])
		if m == nil {
			return found
		}
		return m.name
	})
}
