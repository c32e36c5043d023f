// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
)

// Advertisement is what a server says first.
type Advertisement struct {
	Capabilities Capabilities
	// Refs are full names, and HEAD, to commits: tags are peeled.
	Refs map[string]plumbing.Hash
	// Tags are the objects of annotated tags, by the full name of their ref. Their commits
	// are among the Refs.
	Tags map[string]plumbing.Hash
}

// refMemory is what a byte of an advertisement takes of memory as a ref, at most.
const refMemory = 4

// ReadAdvertisement reads what a server says first, which is limit bytes long at most.
// Before more is kept, grow is asked for the memory. A repository without any ref has
// none.
func ReadAdvertisement(from *bufio.Reader, limit int64, grow func(bytes int64) error) (*Advertisement, error) {
	a := &Advertisement{Capabilities: Capabilities{}, Refs: map[string]plumbing.Hash{}, Tags: map[string]plumbing.Hash{}}
	in := newLines(from, limit)
	first, err := skipPreamble(in)
	if err != nil || first.flush {
		return a, err
	}
	ref, capabilities, _ := strings.Cut(first.text(), "\x00")
	a.Capabilities = parseCapabilities(capabilities)
	if format := a.Capabilities["object-format"]; format != "" && format != "sha1" {
		return nil, fmt.Errorf("%w: %s repositories cannot be read, only those of sha1", ErrObjectFormat, printable(format))
	}
	var granted int64
	for text := ref; ; {
		for ; limit-in.left > granted; granted += grain {
			if err := grow(grain * refMemory); err != nil {
				return nil, err
			}
		}
		if err := a.add(text); err != nil {
			return nil, err
		}
		l, err := in.next()
		if err != nil {
			return nil, unexpected(err)
		}
		if l.flush {
			return a, nil
		}
		text = l.text()
	}
}

// grain is for how much, once it is read, memory is asked for.
const grain = 64 << 10

// skipPreamble reads up to the first ref: over HTTP a service is named before it, and
// in version 1 the version.
func skipPreamble(in *lines) (line, error) {
	l, err := in.next()
	if err == nil && strings.HasPrefix(l.text(), "# service=") {
		for err == nil && !l.flush {
			l, err = in.next()
		}
		if err == nil {
			l, err = in.next()
		}
	}
	if err == nil && strings.HasPrefix(l.text(), "version ") {
		l, err = in.next()
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return l, err
}

// noRefs stands for a ref in the advertisement of a repository that has none.
const noRefs = "capabilities^{}"

// add reads "id name". Shallow commits of the server's own are of no interest here.
func (a *Advertisement) add(text string) error {
	if strings.HasPrefix(text, "shallow ") {
		return nil
	}
	id, name, ok := strings.Cut(text, " ")
	if !ok || !plumbing.IsHash(id) || len(id) != idSize {
		return ErrProtocol
	}
	if name == noRefs {
		return nil
	}
	// A peeled tag follows the tag itself, and takes its place.
	name, peeled := strings.CutSuffix(name, "^{}")
	if tag, ok := a.Refs[name]; ok && peeled {
		a.Tags[name] = tag
	}
	a.Refs[name] = plumbing.NewHash(id)
	return nil
}

const idSize = 40

// printable is a word of a server's that may be shown.
func printable(word string) string {
	const longest = 20
	word = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(word))
	return word[:min(len(word), longest)]
}
