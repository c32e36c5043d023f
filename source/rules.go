package source

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"strings"

	"github.com/fluxcd/pkg/sourceignore"
	"github.com/fluxcd/pkg/sourceignore/gitignore"

	"github.com/sluice-cd/sluice/internal/tree"
)

// rules say which files an artifact leaves out.
type rules struct {
	key     string // equal for equal rules
	matcher gitignore.Matcher
}

// ignores reports whether the file at a path is left out. Only files are asked
// for, since a directory that is left out may hold one that a later pattern
// takes in again.
func (r *rules) ignores(name string) bool {
	return r.matcher.Match(strings.Split(name, "/"), false)
}

// loadRules reads spec.ignore and the .sourceignore files in the tree, in the
// order that Flux gives them. When there are none, defaults apply; what belongs
// to version control is always left out.
func (b *builder) loadRules(ignore *string) (*rules, error) {
	var patterns []gitignore.Pattern
	key := sha256.New()
	add := func(domain []string, content []byte) {
		_, _ = fmt.Fprintf(key, "%q %q\n", domain, content)
		patterns = append(patterns, sourceignore.ReadPatterns(bytes.NewReader(content), domain)...)
	}
	if err := b.findRules("", "", add); err != nil {
		return nil, err
	}
	if ignore != nil {
		add(nil, []byte(*ignore))
	}
	r := &rules{key: hex.EncodeToString(key.Sum(nil))}
	if len(patterns) == 0 {
		r.matcher = sourceignore.NewDefaultMatcher(nil, nil)
	} else {
		r.matcher = sourceignore.NewMatcher(append(sourceignore.VCSPatterns(nil), patterns...))
	}
	return r, nil
}

// findRules passes on the content of each .sourceignore below a directory, that
// of the directory itself first.
func (b *builder) findRules(name, at string, add func(domain []string, content []byte)) error {
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
		content, err := b.files.ReadBlob(p.Hash)
		if err != nil {
			return err
		}
		domain, err := tree.Split(name)
		if err != nil {
			return err
		}
		add(domain, content)
	}
	for _, p := range places {
		if p.Mode == tree.Dir {
			if err := b.findRules(path.Join(name, p.Name), p.at, add); err != nil {
				return err
			}
		}
	}
	return nil
}
