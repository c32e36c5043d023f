// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"errors"
	"fmt"
	"path"
	"strings"

	generatorv1 "github.com/fluxcd/source-watcher/api/v2/v1beta1"
)

var (
	// ErrInvalid means that a spec can mean nothing, whatever its sources have.
	ErrInvalid = errors.New("invalid spec")
	// ErrContent means that a spec and what its sources have now do not go together.
	ErrContent = errors.New("unable to copy")
)

// Contents are what is in files. An error that is neither [ErrContent] nor of the contents ends
// the build as it is.
type Contents interface {
	// Read returns the content of a file that may be no longer than so many bytes.
	Read(hash string, most int64) ([]byte, error)
	// Keep makes content one of the artifact's, and returns its hash.
	Keep(data []byte) (string, error)
	// Unpack returns the files in a tarball that is the content of a file.
	Unpack(hash string) (Files, error)
}

// operation is a compiled copy.
type operation struct {
	alias, from string
	to          string // clean, from the root of the artifact
	into        bool   // to ends in a slash
	strategy    string
	exclude     []glob
	excludeSize int
	text        string // for errors
}

// compile reads a copy. Its errors are [ErrInvalid].
func compile(op generatorv1.CopyOperation) (operation, error) {
	o := operation{strategy: op.Strategy, into: strings.HasSuffix(op.To, "/"), text: fmt.Sprintf("from '%s' to '%s'", op.From, op.To)}
	if err := o.read(op); err != nil {
		return operation{}, fmt.Errorf("%w: copy %s: %w", ErrInvalid, o.text, err)
	}
	return o, nil
}

func (o *operation) read(op generatorv1.CopyOperation) error {
	var ok bool
	if o.alias, o.from, ok = reference(op.From); !ok {
		return errors.New("from is no '@alias/path'")
	}
	to, ok := strings.CutPrefix(op.To, "@artifact/")
	if !ok {
		return errors.New("to is no '@artifact/path'")
	}
	for name := range strings.SplitSeq(to, "/") {
		if name == ".." {
			return errors.New("to leads out of the artifact: '..' is not allowed")
		}
	}
	var err error
	if o.to, err = local(to); err != nil {
		return fmt.Errorf("to: %w", err)
	}
	if err := o.checkFrom(); err != nil {
		return fmt.Errorf("from: %w", err)
	}
	switch op.Strategy {
	case "", generatorv1.OverwriteStrategy, generatorv1.MergeStrategy, generatorv1.ExtractStrategy:
	default:
		return fmt.Errorf("strategy '%s' is unknown, only Overwrite, Merge and Extract are", op.Strategy)
	}
	for _, text := range op.Exclude {
		g, err := compileGlob(text)
		if err != nil {
			return fmt.Errorf("exclude: %w", err)
		}
		o.exclude = append(o.exclude, g)
		o.excludeSize += g.Size
	}
	return nil
}

func (o operation) checkFrom() error {
	if !isPattern(o.from) {
		_, err := local(o.from)
		return err
	}
	if o.strategy == generatorv1.ExtractStrategy {
		_, err := compileGlob(o.from)
		return err
	}
	if _, err := path.Match(o.from, ""); err != nil {
		return fmt.Errorf("invalid pattern '%s'", o.from)
	}
	return nil
}

// reference splits '@alias/path'.
func reference(text string) (alias, rest string, ok bool) {
	text, ok = strings.CutPrefix(text, "@")
	if !ok {
		return "", "", false
	}
	return strings.Cut(text, "/")
}

// isPattern reports whether a path of from is a pattern.
func isPattern(name string) bool { return strings.ContainsAny(name, "*?[]") }

// Work is what all artifacts of a generator may still take, together. The zero value is all of it.
type Work struct{ done int64 }

// do pays for work.
func (w *Work) do(work int64) error {
	if w.done += work; w.done > maxWork {
		return fmt.Errorf("%w: comparing so many paths with such patterns, and merging and extracting so much, takes too long: "+
			"make from and exclude simpler, or copy less", ErrContent)
	}
	return nil
}

// Build puts an artifact together. Errors are [ErrInvalid] or [ErrContent], or those of reading contents.
func Build(copies []generatorv1.CopyOperation, sources map[string]*Listing, contents Contents, work *Work) (Files, error) {
	b := &builder{staging: staging{files: Files{}, dirs: map[string]bool{}}, contents: contents, work: work}
	for _, c := range copies {
		o, err := compile(c)
		if err != nil {
			return nil, err
		}
		source := sources[o.alias]
		if source == nil {
			return nil, fmt.Errorf("%w: copy %s: source alias '%s' not found", ErrInvalid, o.text, o.alias)
		}
		b.source, b.op = source, o
		if err := b.copy(); err != nil {
			return nil, fmt.Errorf("copy %s: %w", o.text, err)
		}
	}
	return b.files, nil
}

const (
	// maxWork bounds what comparing paths with patterns may take, by bytes of paths times the size
	// of patterns: some twenty seconds at worst.
	maxWork = 1_000_000_000
	// mergeWork is what merging a byte takes, and extractWork opening a tarball.
	mergeWork   = 20
	extractWork = maxWork / 200
)

// builder does one copy after another.
type builder struct {
	staging
	contents Contents
	work     *Work

	source *Listing
	op     operation
}

// spend pays for comparing all paths of the source with patterns of so large a size.
func (b *builder) spend(size int) error {
	return b.work.do(int64(size) * int64(b.source.bytes))
}

func (b *builder) copy() error {
	if err := b.spend(2*b.op.excludeSize + 1); err != nil {
		return err
	}
	if isPattern(b.op.from) {
		return b.copyMatches()
	}
	name := path.Clean(b.op.from)
	if b.source.isDir(name) {
		if b.op.strategy == generatorv1.ExtractStrategy {
			return fmt.Errorf("%w: strategy Extract is for tarballs, and '%s' is a directory", ErrContent, name)
		}
		return b.copyDir(name, path.Join(b.op.to, path.Base(name)), name)
	}
	file, ok := b.source.files[name]
	if !ok {
		return fmt.Errorf("%w: source '%s' has no '%s'", ErrContent, b.op.alias, name)
	}
	if b.op.excludes(name, ".") {
		return nil
	}
	if b.op.strategy == generatorv1.ExtractStrategy {
		if !isTarball(name) {
			return fmt.Errorf("%w: strategy Extract is for files that end in .tar.gz or .tgz, and not for '%s'", ErrContent, name)
		}
		return b.extract(name, file)
	}
	to := b.op.to
	if b.op.into || to == "." || b.dirs[to] {
		to = path.Join(to, path.Base(name))
	}
	return b.copyFile(file, to)
}

// copyMatches copies what a pattern matches.
func (b *builder) copyMatches() error {
	matched, err := b.matches()
	if err != nil {
		return err
	}
	if len(matched) == 0 {
		return fmt.Errorf("%w: nothing matches pattern '%s' in source '%s'", ErrContent, b.op.from, b.op.alias)
	}
	base, copied := literalPrefix(b.op.from), 0
	for _, name := range matched {
		if b.op.excludes(name, base) {
			continue
		}
		copied++
		if err := b.copyMatch(name, base); err != nil {
			return err
		}
	}
	if copied == 0 {
		return fmt.Errorf("%w: all that matches pattern '%s' in source '%s' is excluded", ErrContent, b.op.from, b.op.alias)
	}
	return nil
}

func (b *builder) copyMatch(name, base string) error {
	file, isFile := b.source.files[name]
	if b.op.strategy == generatorv1.ExtractStrategy {
		if !isFile || !isTarball(name) {
			return nil
		}
		return b.extract(name, file)
	}
	to := path.Join(b.op.to, name)
	if prefix, ok := strings.CutSuffix(b.op.from, "/**"); ok {
		if below, ok := strings.CutPrefix(name, prefix+"/"); ok {
			to = path.Join(b.op.to, below)
		}
	}
	if isFile {
		return b.copyFile(file, to)
	}
	return b.copyDir(name, to, base)
}

// matches are the paths that the pattern of from matches, in order.
func (b *builder) matches() ([]string, error) {
	if b.op.strategy != generatorv1.ExtractStrategy {
		return b.source.match(strings.Split(b.op.from, "/")), b.spend(len(b.op.from))
	}
	g, err := compileGlob(b.op.from)
	if err != nil {
		return nil, fmt.Errorf("%w: from: %w", ErrInvalid, err)
	}
	if err := b.spend(g.Size); err != nil {
		return nil, err
	}
	var found []string
	err = b.source.walk(".", func(name string) (bool, error) {
		if g.MatchString(name) {
			found = append(found, name)
		}
		return true, nil
	})
	return found, err
}

// match are the paths of which each name matches a pattern.
func (l *Listing) match(patterns []string) []string {
	at := []string{"."}
	for _, pattern := range patterns {
		var next []string
		for _, dir := range at {
			for _, name := range l.dirs[dir] {
				if ok, err := path.Match(pattern, name); ok && err == nil {
					next = append(next, path.Join(dir, name))
				}
			}
		}
		at = next
	}
	return at
}

// literalPrefix is what of a pattern comes before the first name with a wildcard.
func literalPrefix(pattern string) string {
	var names []string
	for name := range strings.SplitSeq(path.Clean(pattern), "/") {
		if isPattern(name) {
			break
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return "."
	}
	return path.Join(names...)
}

// excludes reports whether a pattern of exclude matches a path, from the root of the source or
// from the directory that the copy begins in.
func (o operation) excludes(name, base string) bool {
	below, ok := strings.CutPrefix(name, base+"/")
	for _, g := range o.exclude {
		if g.matches(name) || ok && g.matches(below) {
			return true
		}
	}
	return false
}

// copyDir copies a directory to a path.
func (b *builder) copyDir(dir, to, base string) error {
	return b.source.walk(dir, func(name string) (bool, error) {
		if b.op.excludes(name, base) {
			return false, nil
		}
		file, ok := b.source.files[name]
		if !ok {
			return true, nil
		}
		below := name
		if dir != "." {
			below = strings.TrimPrefix(name, dir+"/")
		}
		return false, b.put(path.Join(to, below), file)
	})
}

// copyFile copies, or merges, a file to a path.
func (b *builder) copyFile(file File, to string) error {
	there, ok := b.files[to]
	if b.op.strategy != generatorv1.MergeStrategy || !ok {
		return b.put(to, file)
	}
	base, err := b.contents.Read(there.Hash, MaxMerged)
	if err != nil {
		return err
	}
	overlay, err := b.contents.Read(file.Hash, MaxMerged)
	if err != nil {
		return err
	}
	if err := b.work.do(mergeWork * int64(len(base)+len(overlay))); err != nil {
		return err
	}
	merged, err := merge(base, overlay)
	if err != nil {
		return fmt.Errorf("%w: merging into '%s': %w", ErrContent, to, err)
	}
	if there.Hash, err = b.contents.Keep(merged); err != nil {
		return err
	}
	return b.put(to, there)
}

// isTarball reports whether a file is a tarball by its name.
func isTarball(name string) bool {
	name = strings.ToLower(name)
	return strings.HasSuffix(name, ".tar.gz") || strings.HasSuffix(name, ".tgz")
}

// extract puts the files of a tarball below the destination.
func (b *builder) extract(name string, file File) error {
	if err := b.work.do(extractWork); err != nil {
		return err
	}
	files, err := b.contents.Unpack(file.Hash)
	if err != nil {
		return fmt.Errorf("extracting '%s': %w", name, err)
	}
	return NewListing(files).walk(".", func(below string) (bool, error) {
		f, ok := files[below]
		if !ok {
			return true, nil
		}
		return false, b.put(path.Join(b.op.to, below), f)
	})
}
