// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"iter"
	"path"
	"strings"

	"github.com/fluxcd/pkg/sourceignore"
	"github.com/fluxcd/pkg/sourceignore/gitignore"

	"github.com/sluice-cd/sluice/internal/tree"
)

// What ignore rules may be, together: every file is compared with every pattern.
// They are far more than anybody wrote by hand.
const (
	maxRules    = 64 << 10
	maxPatterns = 2000
	maxPattern  = 1024
	// maxCompared bounds what comparing all files of a source with them takes, in steps of
	// one or two nanoseconds: rules of 64 KiB can cost half a second for each file that lies
	// deep.
	maxCompared = 10_000_000_000
	// perName is what comparing one name with one pattern takes whatever they are.
	perName = 30
)

// ErrRules means that the ignore rules of a source are beyond what is accepted.
var ErrRules = errors.New("ignore rules are too large")

// rules say which files an artifact leaves out.
type rules struct {
	key     string // equal for equal rules
	matcher gitignore.Matcher
	cost    cost
}

// cost is what comparing a path with patterns takes.
type cost struct {
	patterns int64
	// repeated is how often each letter of a path may be looked at: what follows a star in a
	// pattern is compared at each place of a name.
	repeated int64
}

// add adds that of a line of an ignore file.
func (c *cost) add(line string) {
	var longest int
	for _, name := range strings.Split(line, "/") {
		_, after, _ := strings.Cut(name, "*")
		for _, part := range strings.Split(after, "*") {
			longest = max(longest, len(part))
		}
	}
	c.patterns++
	c.repeated += 1 + int64(longest)
}

// forPath is the cost of a path.
func (c cost) forPath(path string) int64 {
	names := 1 + strings.Count(path, "/")
	return c.repeated*int64(len(path)) + c.patterns*int64(names)*perName
}

// comparisonCost adds up what comparing paths took.
type comparisonCost int64

// ignores reports whether the file at a path is left out. Only files are asked
// for, since a directory that is left out may hold one that a later pattern
// takes in again.
func (c *comparisonCost) ignores(r *rules, path string) (bool, error) {
	if err := c.add(r, path); err != nil {
		return false, err
	}
	return r.matcher.Match(strings.Split(path, "/"), false), nil
}

// add counts one path.
func (c *comparisonCost) add(r *rules, path string) error {
	if *c += comparisonCost(r.cost.forPath(path)); *c > maxCompared {
		return fmt.Errorf("%w: %d patterns take too long to compare all files with; use fewer, and shorter ones behind a *",
			ErrRules, r.cost.patterns)
	}
	return nil
}

// ignores is that of all files of a source.
func (b *builder) ignores(name string) (bool, error) {
	if err := b.ended(); err != nil {
		return false, err
	}
	return b.compared.ignores(b.rules, name)
}

// patterns collects what ignore files say.
type patterns struct {
	list  []gitignore.Pattern
	bytes int64
	cost  cost
	key   hash.Hash
}

// addBytes counts bytes of rules, of which only so many are accepted.
func (p *patterns) addBytes(size int64) error {
	if p.bytes += size; p.bytes > maxRules {
		return fmt.Errorf("%w: %d bytes, of which %d are allowed", ErrRules, p.bytes, maxRules)
	}
	return nil
}

// add reads one ignore file, which rules where it lies.
func (p *patterns) add(domain []string, content []byte) error {
	for line := range bytes.Lines(content) {
		if len(line) > maxPattern {
			return fmt.Errorf("%w: a pattern of %d bytes, of which %d are allowed", ErrRules, len(line), maxPattern)
		}
		p.cost.add(string(line))
	}
	_, _ = fmt.Fprintf(p.key, "%q %q\n", domain, content)
	p.list = append(p.list, sourceignore.ReadPatterns(bytes.NewReader(content), domain)...)
	if len(p.list) > maxPatterns {
		return fmt.Errorf("%w: more than %d patterns", ErrRules, maxPatterns)
	}
	return nil
}

// CheckIgnore is an error that is [ErrRules] when spec.ignore alone is more than what
// is accepted, whatever the tree has.
func CheckIgnore(ignore *string) error {
	if ignore == nil {
		return nil
	}
	return (&patterns{key: sha256.New()}).addSpec(*ignore)
}

// Ignore are the rules of a source that knows its files before it has them.
type Ignore struct{ rules rules }

// NewIgnore reads spec.ignore, which may be nil, and the .sourceignore at the top, which may
// be empty; the former wins. Without any rule nothing is ignored.
func NewIgnore(ignore *string, top []byte) (Ignore, error) {
	found := patterns{key: sha256.New()}
	err := found.addBytes(int64(len(top)))
	if err == nil {
		err = found.add(nil, top)
	}
	if err != nil {
		return Ignore{}, fmt.Errorf("%s: %w", sourceignore.IgnoreFile, err)
	}
	if ignore != nil {
		if err := found.addSpec(*ignore); err != nil {
			return Ignore{}, err
		}
	}
	return Ignore{rules{matcher: gitignore.NewMatcher(found.list), cost: found.cost}}, nil
}

// Ignored returns those of all files of a source that are left out. It may take long, and
// ends with the context; [ErrRules] is beyond what is accepted.
func (i Ignore) Ignored(ctx context.Context, paths iter.Seq[string]) ([]string, error) {
	var all, spent comparisonCost
	for path := range paths {
		if err := all.add(&i.rules, path); err != nil {
			return nil, err // at once
		}
	}
	var ignored []string
	for path := range paths {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		switch left, err := spent.ignores(&i.rules, path); {
		case err != nil:
			return nil, err
		case left:
			ignored = append(ignored, path)
		}
	}
	return ignored, nil
}

// addSpec reads spec.ignore.
func (p *patterns) addSpec(ignore string) error {
	err := p.addBytes(int64(len(ignore)))
	if err == nil {
		err = p.add(nil, []byte(ignore))
	}
	if err != nil {
		return fmt.Errorf("spec.ignore: %w", err)
	}
	return nil
}

// loadRules reads spec.ignore and the .sourceignore files in the tree, in the
// order that Flux gives them. When there are none, defaults apply; what belongs
// to version control is always left out.
func (b *builder) loadRules(ignore *string) (*rules, error) {
	if _, all := b.files.(completeFiles); all {
		return &rules{key: "all", matcher: gitignore.NewMatcher(nil)}, nil
	}
	found := patterns{key: sha256.New()}
	if err := b.findRules("", "", &found); err != nil {
		return nil, err
	}
	if ignore != nil {
		if err := found.addSpec(*ignore); err != nil {
			return nil, err
		}
	}
	r := &rules{key: hex.EncodeToString(found.key.Sum(nil)), cost: found.cost}
	if len(found.list) == 0 {
		r.matcher = sourceignore.NewDefaultMatcher(nil, nil)
	} else {
		r.matcher = sourceignore.NewMatcher(append(sourceignore.VCSPatterns(nil), found.list...))
	}
	return r, nil
}

// findRules reads each .sourceignore below a directory, that of the directory
// itself first.
func (b *builder) findRules(name, at string, found *patterns) error {
	if len(name) > maxPath {
		return fmt.Errorf("%w: a path of more than %d bytes", tree.ErrTooLarge, maxPath)
	}
	b.active[at] = true
	defer delete(b.active, at)
	places, _, err := b.list(at)
	if err != nil {
		return err
	}
	for _, p := range places {
		if p.Name != sourceignore.IgnoreFile || p.Mode == tree.Dir {
			continue
		}
		if err := b.readRules(name, p.Hash, found); err != nil {
			return fmt.Errorf("%s: %w", path.Join(name, p.Name), err)
		}
	}
	for _, p := range places {
		if p.Mode == tree.Dir {
			if err := b.findRules(path.Join(name, p.Name), p.pathIn(at), found); err != nil {
				return err
			}
		}
	}
	return nil
}

// readRules reads the ignore file of the directory that shows at name.
func (b *builder) readRules(name, hash string, found *patterns) error {
	size, err := b.files.BlobSize(hash)
	if err == nil {
		err = found.addBytes(size)
	}
	if err != nil {
		return err
	}
	content, err := b.files.ReadBlob(hash)
	if err != nil {
		return err
	}
	domain, err := tree.Split(name)
	if err != nil {
		return err
	}
	return found.add(domain, content)
}
