// SPDX-License-Identifier: Apache-2.0

package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"testing"
)

// maxMethods is how many methods a type may have in all files of its package. Linters count
// those of a file, so that a type grew to 84 methods over 19 files.
const maxMethods = 25

func TestNoTypeHasTooManyMethods(t *testing.T) {
	methods := map[string]int{}
	for file := range sources(t) {
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "..", file), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range receivers(parsed) {
			methods[fmt.Sprintf("%s of %s", name, filepath.ToSlash(filepath.Dir(file)))]++
		}
	}
	if len(methods) == 0 {
		t.Fatal("no methods found")
	}
	for name, n := range methods {
		if n > maxMethods {
			t.Errorf("%s has %d methods, over all files of its package; more than %d are several types", name, n, maxMethods)
		}
	}
}

// receivers are the types of the methods in a file, once for each method.
func receivers(file *ast.File) []string {
	var names []string
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv != nil {
			names = append(names, receiver(f.Recv.List[0].Type))
		}
	}
	return names
}

// receiver is the name of the type of a receiver, without its pointer and its parameters.
func receiver(of ast.Expr) string {
	switch e := of.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.ParenExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.IndexListExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

func TestMethodsAreCountedByTheirType(t *testing.T) {
	const source = `package p
func (a T) One() {}
func (a *T) Two() {}
func (*T) Three() {}
func (a G[K]) Four() {}
func (a *H[K, V]) Five() {}
func Six() {}`
	parsed, err := parser.ParseFile(token.NewFileSet(), "p.go", source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(receivers(parsed)); got != "[T T T G H]" {
		t.Errorf("the receivers are %s", got)
	}
}
