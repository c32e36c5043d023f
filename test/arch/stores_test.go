// SPDX-License-Identifier: Apache-2.0

package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// store is a type that keeps something in memory for all who use it.
type store struct {
	file string // with slashes, from the root
	name string // of the type
}

// notStores are types that look like stores and keep nothing beyond a call, or nothing of their
// own, and why.
var notStores = map[string]string{
	"apply.applier":           "it lives for one apply",
	"apply/decrypt.Decrypter": "it lives for one build",
	"promotion/forge.session": "its cache of answers is that of forge.Clients",
	"scan.disk":               "it is a part of scan.Store, which the table says",
	"scan.firstSeen":          "it is a part of scan.Store, which the table says",
}

// TestTheTableOfStoresIsWhole holds "What a restart loses" in docs/architecture.md to the code: an
// operator who asks what a restart costs, or how much memory grows with what, reads there.
func TestTheTableOfStoresIsWhole(t *testing.T) {
	owners := storeOwners(t)
	unused := map[string]bool{}
	for name := range notStores {
		unused[name] = true
	}
	found := 0
	for file := range sources(t) {
		name := filepath.ToSlash(file)
		if !isOfTheController(name) {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "..", file), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, typ := range stores(parsed) {
			found++
			s := store{name, typ}
			if delete(unused, s.String()); notStores[s.String()] == "" && !slices.ContainsFunc(owners, s.isOwner) {
				t.Errorf("%s (%s) is in no row of What a restart loses in docs/architecture.md, nor in notStores here", s, name)
			}
		}
	}
	if found < 30 {
		t.Errorf("%d stores were found", found)
	}
	for name := range unused {
		t.Errorf("%s is no store any more: take it from notStores", name)
	}
}

// isOfTheController reports whether a file may be of the process that runs for months.
func isOfTheController(file string) bool {
	for _, other := range []string{"test/", "hack/", "cmd/sluice/cli/"} {
		if strings.HasPrefix(file, other) {
			return false
		}
	}
	return true
}

// String is how a store is called: by its package from the root, and its type.
func (s store) String() string { return path.Dir(s.file) + "." + s.name }

// isOwner reports whether the Owner of a row names a store: its type, with its package or beside
// the file; or all of its file or package, in a cell that names no types.
func (s store) isOwner(cell string) bool {
	dir, words := path.Dir(s.file), codeWords(cell)
	for _, word := range words {
		switch word {
		case s.String(), path.Base(dir) + "." + s.name:
			return true
		case s.name:
			return strings.Contains(cell, dir)
		case s.file, dir:
			if !slices.ContainsFunc(words, isType) {
				return true
			}
		}
	}
	return false
}

// isType reports whether a word is the name of a type rather than a path or a flag.
func isType(word string) bool {
	return !strings.HasPrefix(word, "-") && !strings.Contains(word, "/") && word != "ui" && !strings.HasSuffix(word, ".go")
}

// codeWords are what stands between backquotes.
func codeWords(text string) (words []string) {
	for _, match := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(text, -1) {
		words = append(words, match[1])
	}
	return words
}

// storeOwners are the cells of the column Owner.
func storeOwners(t *testing.T) (owners []string) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## What a restart loses\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for line := range strings.Lines(section) {
		if cells := strings.Split(line, "|"); len(cells) > 3 {
			owners = append(owners, cells[2])
		}
	}
	return owners
}

// stores are the types of a file that keep a map behind a lock, a [sync.Map] or an lru.
func stores(file *ast.File) (names []string) {
	for _, decl := range file.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range group.Specs {
			if typ, ok := spec.(*ast.TypeSpec); ok {
				if fields, ok := typ.Type.(*ast.StructType); ok && isStore(fields) {
					names = append(names, typ.Name.Name)
				}
			}
		}
	}
	return names
}

func isStore(fields *ast.StructType) bool {
	var locked, keyed bool
	for _, field := range fields.Fields.List {
		typ := field.Type
		if pointer, ok := typ.(*ast.StarExpr); ok {
			typ = pointer.X
		}
		switch e := typ.(type) {
		case *ast.IndexExpr:
			typ = e.X
		case *ast.IndexListExpr:
			typ = e.X
		case *ast.MapType:
			keyed = true
		}
		switch from, name := selected(typ); from + "." + name {
		case "sync.Map", "lru.Cache":
			return true
		case "sync.Mutex", "sync.RWMutex":
			locked = true
		}
	}
	return locked && keyed
}

func TestStoresAreFound(t *testing.T) {
	for name, tc := range map[string]struct {
		fields string
		want   bool
	}{
		"a map behind a lock":                {"mu sync.Mutex; known map[string]int", true},
		"a map behind a lock for readers":    {"known map[string]int; mu sync.RWMutex", true},
		"a map behind a lock by a pointer":   {"*sync.Mutex; known map[string]int", true},
		"a map that is made for concurrency": {"known sync.Map", true},
		"a bounded cache":                    {"known *lru.Cache[string, int]", true},
		"a map of one goroutine":             {"known map[string]int", false},
		"a value behind a lock":              {"mu sync.Mutex; known int", false},
		"nothing":                            {"", false},
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "a.go", "package a\ntype t[K any] struct {"+tc.fields+"}", parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(stores(file)) == 1; got != tc.want {
			t.Errorf("%s: found %t", name, got)
		}
	}
}

func TestWhichRowIsAboutAStore(t *testing.T) {
	known := store{file: "controllers/canary/cache.go", name: "answers"}
	for cell, want := range map[string]bool{
		"`canary.answers`": true,
		"each `answers` in `controllers/canary/cache.go`":                 true,
		"`answers` of `controllers/canary`":                               true,
		"`controllers/canary/cache.go`":                                   true,
		"`controllers/canary`":                                            true,
		"`controllers/canary/cache.go` (`--events-addr`)":                 true,
		"`queries` in `controllers/canary/cache.go`":                      false,
		"`queries` in `controllers/canary`":                               false,
		"`answers` in `controllers/pipeline/cache.go`":                    false,
		"`controllers/canary/queries.go`, `sampler.go`":                   false,
		"the answers of controllers/canary, without what stands for code": false,
	} {
		if got := known.isOwner(cell); got != want {
			t.Errorf("%s: %t", cell, got)
		}
	}
}
