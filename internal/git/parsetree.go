// SPDX-License-Identifier: Apache-2.0

package git

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/sluice-cd/sluice/internal/tree"
)

// ErrTree means that a commit's files cannot be had as files: a directory is
// malformed, has names that are none, or is beyond what is accepted.
var ErrTree = errors.New("malformed tree")

// parseTree decodes a tree object: mode, space, name, NUL, 20 bytes of id, for
// each entry. The result is sorted by name, which Git's own order is not quite.
func parseTree(data []byte) ([]tree.Entry, error) {
	var entries []tree.Entry
	for len(data) > 0 {
		head, rest, ok := bytes.Cut(data, []byte{0})
		if !ok || len(rest) < len(plumbing.Hash{}) {
			return nil, fmt.Errorf("%w: it is cut short", ErrTree)
		}
		mode, name, ok := strings.Cut(string(head), " ")
		bits, err := strconv.ParseUint(mode, 8, 32)
		if !ok || err != nil {
			return nil, fmt.Errorf("%w: entry %d has no mode", ErrTree, len(entries))
		}
		if err := checkName(name); err != nil {
			return nil, err
		}
		if len(entries) >= maxFiles {
			return nil, fmt.Errorf("%w: a directory of more than %d files", ErrTree, maxFiles)
		}
		id := rest[:len(plumbing.Hash{})]
		entries = append(entries, tree.Entry{Name: name, Mode: canonical(tree.Mode(bits)), Hash: hex.EncodeToString(id)})
		data = rest[len(id):]
	}
	slices.SortFunc(entries, func(a, b tree.Entry) int { return strings.Compare(a.Name, b.Name) })
	for i := 1; i < len(entries); i++ {
		if entries[i].Name == entries[i-1].Name {
			return nil, fmt.Errorf("%w: %s is there twice", ErrTree, quoted(entries[i].Name))
		}
	}
	return entries, nil
}

// checkName refuses what would lead out of its directory, or into the Git
// directory of whoever unpacks the files: the names that Git itself does not
// check out. A backslash is a character like others.
func checkName(name string) error {
	switch {
	case name == "", name == ".", name == "..", strings.Contains(name, "/"), isGitDir(name):
		return fmt.Errorf("%w: %s cannot be the name of a file", ErrTree, quoted(name))
	case len(name) > maxName:
		return fmt.Errorf("%w: a name of %d bytes, of which %d are allowed", ErrTree, len(name), maxName)
	}
	return nil
}

// ignorable are the characters that HFS+ leaves out of a name.
var ignorable = strings.NewReplacer(
	"\u200c", "", "\u200d", "", "\u200e", "", "\u200f", "", "\u202a", "", "\u202b", "", "\u202c", "", "\u202d", "",
	"\u202e", "", "\u206a", "", "\u206b", "", "\u206c", "", "\u206d", "", "\u206e", "", "\u206f", "", "\ufeff", "",
)

// isGitDir reports names that are ".git" to some file system: in any case, with
// ignorable characters (HFS+), or trailing dots, spaces or streams (NTFS).
func isGitDir(name string) bool {
	if len(name) < len(".git") || len(name) > maxName || strings.IndexByte(".gG\xe2\xef", name[0]) < 0 {
		return false // most names, quickly
	}
	name, _, _ = strings.Cut(ignorable.Replace(name), ":")
	name = strings.TrimRight(name, ". ")
	return strings.EqualFold(name, ".git") || strings.EqualFold(name, "git~1")
}

// maxQuoted bounds what of a name is shown.
const maxQuoted = 80

func quoted(name string) string {
	if len(name) > maxQuoted {
		return strconv.Quote(name[:maxQuoted]) + "..."
	}
	return strconv.Quote(name)
}
