// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/opencontainers/go-digest"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/disk"
)

const (
	// maxArchive bounds an archive that is read into memory.
	maxArchive = 256 << 20

	archiveSuffix = ".tar.gz"
	// copySuffix is that of what is kept as it came.
	copySuffix  = ".tgz"
	indexSuffix = ".members.json"
	// noteSuffix is that of what a source wants to find again beside its artifact.
	noteSuffix = ".note"
	temporary  = ".tmp-*"
)

// Key is the source that artifacts belong to.
type Key struct {
	Kind, Namespace, Name string
}

// dir is where the source's artifacts lie, and the start of their URL path.
func (k Key) dir() string { return path.Join(strings.ToLower(k.Kind), k.Namespace, k.Name) }

// Store keeps artifacts in a directory and serves them. It is safe for
// concurrent use, by one writer for each source.
type Store struct {
	root    string
	address string
	clock   clock.PassiveClock

	// Space is what is free on the disk; nil has no end. Set it before the first use.
	Space *disk.Space
	// Retention says how long artifacts stay that others have replaced, at first [DefaultRetention], and Digest by
	// which algorithm digests are made; default SHA-256. Set them, too, before the first use.
	Retention Retention
	Digest    digest.Algorithm

	mu        sync.Mutex
	sizes     map[Key]int64           // bytes on the disk, nil before they were looked at
	views     map[Key][]publishedView // newest first
	published int                     // how many there have been
	verified  map[string]string       // path -> digest that the file was seen to have
}

// Retention is how many artifacts of a source stay, the newest among them. When another one comes, those go
// as well that were replaced longer than TTL ago; with zero, all of them do, as in Flux.
type Retention struct {
	Records int
	TTL     time.Duration
}

// DefaultRetention is that of Flux's source-controller. Consumers may still be fetching the artifact
// before the newest one.
var DefaultRetention = Retention{Records: 2, TTL: time.Minute}

// publishedView is a view by the digest of its artifact.
type publishedView struct {
	digest string
	view   *View
	number int
}

// NewStore keeps artifacts below root. The address is how consumers reach the
// store's HTTP handler: host, or host:port, or a URL.
func NewStore(root, address string, clk clock.PassiveClock) *Store {
	return &Store{
		root: root, address: address, clock: clk, Retention: DefaultRetention,
		views: map[Key][]publishedView{}, verified: map[string]string{},
	}
}

// URL is where consumers find the artifact at a path.
func (s *Store) URL(path string) string {
	base := s.address
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	return strings.TrimSuffix(base, "/") + "/" + path
}

// Latest is the newest view of a source in this process, or nil.
func (s *Store) Latest(key Key) *View {
	s.mu.Lock()
	defer s.mu.Unlock()
	if views := s.views[key]; len(views) > 0 {
		return views[0].view
	}
	return nil
}

// Content is what an artifact is made of.
type Content struct {
	// Name is its file name, usually the commit, and Revision what statuses call it.
	Name, Revision string
	// View is what is archived.
	View *View
	// Bytes are kept as they are, if there is no view.
	Bytes []byte
	// Note is kept beside the artifact, for [Store.Note]; nil is none.
	Note []byte
	// Memory is what is read while it is made added to; it may be nil.
	Memory *budget.Grant

	namespace string
}

// file is the name of the artifact's file.
func (c Content) file() string {
	if c.View == nil {
		return c.Name + copySuffix
	}
	return c.Name + archiveSuffix
}

// Put stores a view, or bytes as they are, as the artifact of a source. Equal views give
// equal bytes.
func (s *Store) Put(ctx context.Context, key Key, c Content) (*meta.Artifact, error) {
	s.account(key)
	c.namespace = key.Namespace
	at := path.Join(key.dir(), c.file())
	dir := filepath.Join(s.root, filepath.FromSlash(key.dir()))
	if !filepath.IsLocal(filepath.FromSlash(at)) || strings.ContainsAny(c.Name, `/\`) {
		return nil, fmt.Errorf("storing artifact: %q is no file name", c.Name)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("storing artifact: %w", err)
	}
	from := s.previous(dir)
	if from != nil {
		defer func() { _ = from.file.Close() }()
	}
	sum, size, err := s.write(ctx, filepath.Join(s.root, filepath.FromSlash(at)), c, from)
	if err != nil {
		return nil, fmt.Errorf("storing artifact: %w", err)
	}
	artifact := &meta.Artifact{
		Digest: sum.String(), Path: at, URL: s.URL(at), Revision: c.Revision,
		LastUpdateTime: metav1.NewTime(s.clock.Now()), Size: &size,
	}
	s.mu.Lock()
	s.verified[at] = artifact.Digest
	s.mu.Unlock()
	if c.View != nil {
		s.Publish(key, artifact, c.View)
	}
	err = s.collect(key)
	s.account(key)
	return artifact, err
}

// IsFile reports whether an artifact is in the store, as the file of that name of a source.
func (s *Store) IsFile(key Key, name string, artifact *meta.Artifact) bool {
	return artifact.Path == path.Join(key.dir(), name+archiveSuffix) && s.Holds(artifact)
}

// account counts what is on the disk of a source, and at first of all.
func (s *Store) account(key Key) {
	if s.Space == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sizes == nil {
		s.sizes = map[Key]int64{}
		for _, found := range s.keys() {
			s.sizes[found] = disk.SizeOf(filepath.Join(s.root, filepath.FromSlash(found.dir())))
			s.Space.Record(found.Namespace, s.sizes[found])
		}
	}
	key.Kind = strings.ToLower(key.Kind)
	size := disk.SizeOf(filepath.Join(s.root, filepath.FromSlash(key.dir())))
	s.Space.Record(key.Namespace, size-s.sizes[key])
	if s.sizes[key] = size; size == 0 {
		delete(s.sizes, key)
	}
}

// keys are the sources that have a directory, with their kinds in small letters.
func (s *Store) keys() []Key {
	dirs, _ := fs.Glob(os.DirFS(s.root), "*/*/*")
	keys := make([]Key, 0, len(dirs))
	for _, dir := range dirs {
		parts := strings.Split(dir, "/")
		keys = append(keys, Key{parts[0], parts[1], parts[2]})
	}
	return keys
}

// write makes an archive and its index, each in place at once.
func (s *Store) write(ctx context.Context, target string, c Content, from *previous) (sum digest.Digest, size int64, err error) {
	file, err := os.CreateTemp(filepath.Dir(target), temporary)
	if err != nil {
		return "", 0, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close(), os.Remove(file.Name()))
		}
	}()
	algorithm := cmp.Or(s.Digest, digest.SHA256)
	hash := algorithm.Hash()
	meter := disk.Meter{Space: s.Space, Namespace: c.namespace}
	defer meter.Commit(0) // what stays is counted with the source
	buffered := bufio.NewWriterSize(meter.Writer(file), 256<<10)
	var index []byte
	out := io.MultiWriter(buffered, hash)
	if c.View == nil {
		_, err = out.Write(c.Bytes)
		size = int64(len(c.Bytes))
	} else {
		index, size, err = archive(ctx, out, c, from)
	}
	if err == nil {
		err = buffered.Flush()
	}
	if err != nil {
		return "", 0, err
	}
	// The old index goes first: it must not describe the new file.
	if err := os.Remove(indexOf(target)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", 0, err
	}
	if err := os.Rename(file.Name(), target); err != nil {
		return "", 0, err
	}
	if err := note(target, c.Note); err != nil {
		return "", 0, err
	}
	sum = digest.NewDigest(algorithm, hash)
	if index == nil {
		return sum, size, file.Close()
	}
	return sum, size, errors.Join(os.WriteFile(indexOf(target), index, 0o600), file.Close())
}

// archive writes the view of an artifact, and returns the index of its members.
func archive(ctx context.Context, w io.Writer, c Content, from *previous) (index []byte, size int64, err error) {
	members, err := writeArchive(ctx, w, c.View, from, c.Memory)
	if err != nil {
		return nil, 0, err
	}
	last := members[len(members)-1]
	index, err = json.Marshal(members)
	return index, last.Offset + last.Length, err
}

func indexOf(archive string) string { return besideArchive(archive, indexSuffix) }

// besideArchive is a file that belongs to an archive.
func besideArchive(archive, suffix string) string {
	return strings.TrimSuffix(strings.TrimSuffix(archive, archiveSuffix), copySuffix) + suffix
}

// note keeps the note of an archive, or removes an old one.
func note(archive string, content []byte) error {
	if content != nil {
		return os.WriteFile(besideArchive(archive, noteSuffix), content, 0o600)
	}
	if err := os.Remove(besideArchive(archive, noteSuffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Note returns what was kept beside an artifact with [Content]; nil if there is nothing.
// Whether it is what the artifact was made with is for the caller to find out.
func (s *Store) Note(artifact *meta.Artifact) []byte {
	if artifact == nil || !isArchive(artifact.Path) {
		return nil
	}
	content, err := os.ReadFile(besideArchive(filepath.Join(s.root, filepath.FromSlash(artifact.Path)), noteSuffix))
	if err != nil {
		return nil
	}
	return content
}

// previous opens the newest archive to copy from; nil when there is none. An
// index that does not fit is found out by the checksums of its members.
func (s *Store) previous(dir string) *previous {
	for _, archive := range archives(dir) {
		data, err := os.ReadFile(indexOf(archive))
		if err != nil {
			continue
		}
		var members []member
		if json.Unmarshal(data, &members) != nil {
			continue
		}
		file, err := os.Open(archive)
		if err != nil {
			continue
		}
		p := &previous{file: file, members: make(map[string]member, len(members))}
		for _, m := range members {
			p.members[m.Key] = m
		}
		return p
	}
	return nil
}

// hasSuffix reports whether a file is an archive by its name.
func hasSuffix(name string) bool {
	return strings.HasSuffix(name, archiveSuffix) || strings.HasSuffix(name, copySuffix)
}

// archives lists the archives in a directory, newest first.
func archives(dir string) []string {
	var paths []string
	for _, info := range archiveInfos(dir) {
		paths = append(paths, filepath.Join(dir, info.Name()))
	}
	return paths
}

// archiveInfos are those of archives.
func archiveInfos(dir string) []fs.FileInfo {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var infos []fs.FileInfo
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && info.Mode().IsRegular() && hasSuffix(e.Name()) {
			infos = append(infos, info)
		}
	}
	slices.SortFunc(infos, func(a, b fs.FileInfo) int {
		return cmp.Or(b.ModTime().Compare(a.ModTime()), strings.Compare(a.Name(), b.Name()))
	})
	return infos
}

// collect removes all but the newest artifacts, as [Store.Retention] says, and what a killed process left
// half-written.
func (s *Store) collect(key Key) error {
	dir := filepath.Join(s.root, filepath.FromSlash(key.dir()))
	var errs []error
	infos, now := archiveInfos(dir), s.clock.Now()
	for i, info := range infos {
		expired := i > 0 && (s.Retention.TTL == 0 || now.Sub(infos[i-1].ModTime()) > s.Retention.TTL)
		if i >= s.Retention.Records || expired {
			archive := filepath.Join(dir, info.Name())
			s.forget(path.Join(key.dir(), info.Name()))
			errs = append(errs, os.Remove(indexOf(archive)), note(archive, nil), os.Remove(archive))
		}
	}
	left, _ := filepath.Glob(filepath.Join(dir, temporary))
	for _, file := range left {
		errs = append(errs, os.Remove(file))
	}
	for _, err := range errs {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing old artifact: %w", err)
		}
	}
	return nil
}

// forget drops what is known of a file that is there no more.
func (s *Store) forget(at string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.verified, at)
}
