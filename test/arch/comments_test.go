// SPDX-License-Identifier: Apache-2.0

package arch

import (
	"cmp"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"sigs.k8s.io/yaml"
)

// eachFile calls f with every Go file of the module, tests and all, and its path from the
// module's root.
func eachFile(t *testing.T, f func(path string, files *token.FileSet, parsed *ast.File)) {
	t.Helper()
	root, n := filepath.Join("..", ".."), 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, path)
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && name != "." || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		files := token.NewFileSet()
		parsed, err := parser.ParseFile(files, path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err == nil {
			n++
			f(filepath.ToSlash(name), files, parsed)
		}
		return err
	})
	if err != nil || n == 0 {
		t.Fatalf("%d files were read: %v", n, err)
	}
}

// A waiver for a linter that is off says that something was weighed which nobody looks at.
func TestWaiversAreForLintersThatRun(t *testing.T) {
	var config struct {
		Linters struct{ Enable []string }
	}
	data, err := os.ReadFile(filepath.Join("..", "..", ".golangci.yml"))
	if err == nil {
		err = yaml.Unmarshal(data, &config)
	}
	if err != nil || len(config.Linters.Enable) == 0 {
		t.Fatalf(".golangci.yml enables nothing: %v", err)
	}
	waivers := 0
	eachFile(t, func(path string, files *token.FileSet, parsed *ast.File) {
		for _, group := range parsed.Comments {
			for _, c := range group.List {
				for _, linter := range waived(c.Text) {
					waivers++
					if !slices.Contains(config.Linters.Enable, linter) {
						t.Errorf("%s:%d: %s is not among the linters of .golangci.yml", path, files.Position(c.Pos()).Line, linter)
					}
				}
			}
		}
	})
	if waivers == 0 {
		t.Error("no waivers found")
	}
}

// waived are the linters that a comment keeps from a line.
func waived(comment string) []string {
	names, ok := strings.CutPrefix(comment, "//nolint:")
	if !ok {
		return nil
	}
	names, _, _ = strings.Cut(names, " ")
	return strings.Split(names, ",")
}

// Sentences begin with a capital letter, and so a comment that begins with a small one begins
// with a name: that of what it stands above, unless that was renamed and the comment was not.
func TestCommentsBeginWithTheNameTheyExplain(t *testing.T) {
	eachFile(t, func(path string, files *token.FileSet, parsed *ast.File) {
		for name, comment := range explained(parsed) {
			if word := firstWord(comment.Text()); wrongName(word, name.Name) {
				t.Errorf("%s:%d: the comment of %s begins with %q", path, files.Position(comment.Pos()).Line, name.Name, word)
			}
		}
	})
}

func wrongName(word, name string) bool {
	first, _ := utf8.DecodeRuneInString(word)
	return unicode.IsLower(first) && word != name
}

// firstWord is a text up to what cannot be part of an identifier.
func firstWord(text string) string {
	end := strings.IndexFunc(text, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	if end < 0 {
		return text
	}
	return text[:end]
}

// explained are the names that a file declares at its top level, with a comment of their own.
func explained(file *ast.File) map[*ast.Ident]*ast.CommentGroup {
	names := map[*ast.Ident]*ast.CommentGroup{}
	add := func(comment *ast.CommentGroup, of ...*ast.Ident) {
		if comment != nil && len(of) == 1 {
			names[of[0]] = comment
		}
	}
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if !strings.HasPrefix(d.Name.Name, "Test") { // names of tests are sentences, and comments go on
				add(d.Doc, d.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				doc := (*ast.CommentGroup)(nil)
				if len(d.Specs) == 1 {
					doc = d.Doc
				}
				switch s := spec.(type) {
				case *ast.TypeSpec:
					add(cmp.Or(s.Doc, doc), s.Name)
				case *ast.ValueSpec:
					add(cmp.Or(s.Doc, doc), s.Names...)
				}
			}
		}
	}
	return names
}

func TestNamesOfComments(t *testing.T) {
	const source = `package p
// one is right.
func one() {}
// three is wrong.
func two() {}
// threeOf is wrong.
type three struct{}
// A sentence is right.
func (three) four() {}
const (
	// four is wrong.
	five = 5
	// seven and eight are two.
	seven, eight = 7, 8
)
`
	parsed, err := parser.ParseFile(token.NewFileSet(), "p.go", source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var wrong []string
	for name, comment := range explained(parsed) {
		if wrongName(firstWord(comment.Text()), name.Name) {
			wrong = append(wrong, name.Name)
		}
	}
	if slices.Sort(wrong); !slices.Equal(wrong, []string{"five", "three", "two"}) {
		t.Errorf("wrong are %q", wrong)
	}
}
