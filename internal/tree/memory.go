// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"crypto/sha1" // Git's object ids are SHA-1
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Content is one file to put into a tree.
type Content struct {
	Mode Mode
	Data []byte
}

// Memory is a tree held in memory.
type Memory struct {
	root *node
}

// node is an entry with what it holds: children of a directory, or data.
type node struct {
	Entry
	children map[string]*node
	data     []byte
}

// New builds a tree from files by path. Directories come from the paths; a zero
// Mode means File.
func New(files map[string]Content) (*Memory, error) {
	root := newDir(".")
	for name, content := range files {
		if err := root.insert(name, content); err != nil {
			return nil, err
		}
	}
	root.seal()
	return &Memory{root: root}, nil
}

// FromStrings builds a tree of plain files.
func FromStrings(files map[string]string) (*Memory, error) {
	contents := make(map[string]Content, len(files))
	for name, data := range files {
		contents[name] = Content{Mode: File, Data: []byte(data)}
	}
	return New(contents)
}

func newDir(name string) *node {
	return &node{Entry: Entry{Name: name, Mode: Dir}, children: map[string]*node{}}
}

// insert puts a file at a path below n and makes the directories on the way.
func (n *node) insert(name string, content Content) error {
	parts, err := Split(name)
	if err != nil {
		return err
	}
	if len(parts) == 0 {
		return fmt.Errorf("adding %q to tree: %w", name, ErrIsDir)
	}
	dir, err := n.mkdir(parts[:len(parts)-1])
	if err != nil {
		return fmt.Errorf("adding %q to tree: %w", name, err)
	}
	base := parts[len(parts)-1]
	if dir.children[base] != nil {
		return fmt.Errorf("adding %q to tree: %w", name, fs.ErrExist)
	}
	if content.Mode == 0 {
		content.Mode = File
	}
	dir.children[base] = &node{
		Entry: Entry{Name: base, Mode: content.Mode, Hash: BlobHash(content.Data)},
		data:  content.Data,
	}
	return nil
}

// mkdir returns the directory at the given elements, made if it is not there.
func (n *node) mkdir(parts []string) (*node, error) {
	for _, part := range parts {
		next := n.children[part]
		if next == nil {
			next = newDir(part)
			n.children[part] = next
		}
		if next.Mode != Dir {
			return nil, ErrNotDir
		}
		n = next
	}
	return n, nil
}

// missing is how many directories a file of that path would have made.
func (n *node) missing(name string) int {
	parts := strings.Split(path.Dir(name), "/")
	for i, part := range parts {
		if part == "." || part == "" {
			continue
		}
		if n = n.children[part]; n == nil {
			return len(parts) - i
		}
	}
	return 0
}

// seal computes the hashes of all directories from the leaves up, and drops
// those that hold nothing, since Git knows no empty directories.
func (n *node) seal() {
	for name, child := range n.children {
		if child.Mode != Dir {
			continue
		}
		child.seal()
		if len(child.children) == 0 {
			delete(n.children, name)
		}
	}
	n.Hash = DirHash(n.entries())
}

// entries lists a directory sorted by name.
func (n *node) entries() []Entry {
	list := make([]Entry, 0, len(n.children))
	for _, child := range n.children {
		list = append(list, child.Entry)
	}
	slices.SortFunc(list, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// find returns the node at a path, or nil when nothing is there.
func (m *Memory) find(name string) (*node, error) {
	parts, err := Split(name)
	if err != nil {
		return nil, err
	}
	at := m.root
	for _, part := range parts {
		if at = at.children[part]; at == nil {
			return nil, nil
		}
	}
	return at, nil
}

// must is find for callers to whom absence is an error.
func (m *Memory) must(name string) (*node, error) {
	n, err := m.find(name)
	if err == nil && n == nil {
		return nil, &fs.PathError{Op: "open", Path: path.Clean(name), Err: fs.ErrNotExist}
	}
	return n, err
}

// Hash implements [Tree].
func (m *Memory) Hash(name string) (string, error) {
	n, err := m.find(name)
	if n == nil {
		return "", err
	}
	return n.Hash, nil
}

// Stat implements [Tree].
func (m *Memory) Stat(name string) (Entry, error) {
	n, err := m.must(name)
	if err != nil {
		return Entry{}, err
	}
	return n.Entry, nil
}

// ReadDir implements [Tree].
func (m *Memory) ReadDir(name string) ([]Entry, error) {
	n, err := m.must(name)
	switch {
	case err != nil:
		return nil, err
	case n.Mode != Dir:
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: ErrNotDir}
	}
	return n.entries(), nil
}

// ReadFile implements [Tree].
func (m *Memory) ReadFile(name string) ([]byte, error) {
	n, err := m.must(name)
	switch {
	case err != nil:
		return nil, err
	case n.Mode == Dir:
		return nil, &fs.PathError{Op: "read", Path: name, Err: ErrIsDir}
	}
	return n.data, nil
}

// BlobHash returns the Git object id of a file's content.
func BlobHash(data []byte) string {
	return objectHash("blob", data)
}

// DirHash returns the Git object id of a directory with the given entries, in
// any order.
func DirHash(entries []Entry) string {
	return objectHash("tree", EncodeDir(entries))
}

// EncodeDir returns the content of the Git tree object of a directory with the
// given entries, in any order.
func EncodeDir(entries []Entry) []byte {
	sorted := slices.SortedFunc(slices.Values(entries), compareInGit)
	var data []byte
	for _, e := range sorted {
		data = fmt.Appendf(data, "%o %s\x00", uint32(e.Mode), e.Name)
		data, _ = hex.AppendDecode(data, []byte(e.Hash))
	}
	return data
}

// compareInGit orders entries as tree objects hold them: a directory sorts as
// if its name ended in a slash.
func compareInGit(a, b Entry) int {
	key := func(e Entry) string {
		if e.Mode == Dir {
			return e.Name + "/"
		}
		return e.Name
	}
	return strings.Compare(key(a), key(b))
}

func objectHash(kind string, data []byte) string {
	h := sha1.New() // Git's object ids are SHA-1
	_, _ = fmt.Fprintf(h, "%s %d\x00", kind, len(data))
	h.Write(data)
	return hex.EncodeToString(h.Sum(nil))
}
