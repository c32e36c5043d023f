// SPDX-License-Identifier: Apache-2.0

package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// A true or false between other arguments says nothing to who reads the call: a parameter that callers choose by a literal is
// two functions, or has a type with names. Functions that set what their name says may take one.
func TestNoCallSaysTrueOrFalseToAFunctionOfOurs(t *testing.T) {
	files := map[string]*ast.File{}
	positions := token.NewFileSet()
	taking := map[string]bool{}
	for file := range sources(t) {
		if name := filepath.ToSlash(file); strings.HasPrefix(name, "test/") || strings.HasPrefix(name, "hack/") {
			continue
		}
		parsed, err := parser.ParseFile(positions, filepath.Join("..", "..", file), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files[file] = parsed
		for _, name := range takingBools(parsed) {
			taking[name] = true
		}
	}
	if len(taking) == 0 {
		t.Fatal("no functions with bool parameters found")
	}
	for _, parsed := range files {
		for _, call := range callsWithBools(parsed, taking) {
			t.Errorf("%s: what this true or false means is not said", positions.Position(call.Pos()))
		}
	}
}

// takingBools are the functions and methods of a file with a bool parameter, but those that set it.
func takingBools(file *ast.File) (names []string) {
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || strings.HasPrefix(strings.ToLower(f.Name.Name), "set") {
			continue
		}
		for _, parameter := range f.Type.Params.List {
			if typ, ok := parameter.Type.(*ast.Ident); ok && typ.Name == "bool" {
				names = append(names, f.Name.Name)
			}
		}
	}
	return names
}

// callsWithBools are the calls of functions of these names with a literal.
func callsWithBools(file *ast.File, of map[string]bool) (found []*ast.CallExpr) {
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || !of[called(call.Fun)] {
			return true
		}
		for _, argument := range call.Args {
			if word, ok := argument.(*ast.Ident); ok && (word.Name == "true" || word.Name == "false") {
				found = append(found, call)
			}
		}
		return true
	})
	return found
}

// called is the name of what is called, without what it is called on.
func called(fun ast.Expr) string {
	switch e := fun.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

func TestBoolsAreFound(t *testing.T) {
	const source = `package p
func look(all bool) {}
func (a T) find(what string, deep bool) {}
func setDeep(deep bool) {}
func other(what string) {}
func calls(a T, deep bool) {
	look(true)
	a.find("x", false)
	setDeep(true)
	other("true")
	look(deep)
	other(true)
}`
	parsed, err := parser.ParseFile(token.NewFileSet(), "p.go", source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	taking := map[string]bool{}
	for _, name := range takingBools(parsed) {
		taking[name] = true
	}
	if n := len(callsWithBools(parsed, taking)); n != 2 {
		t.Errorf("%d calls were found, want 2", n)
	}
}
