// SPDX-License-Identifier: Apache-2.0

package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// parallel are calls by which a test or its subject starts what runs beside it.
var parallel = []string{"Go", "Parallel", "RunParallel", "AfterFunc", "NewServer", "NewTLSServer"}

// TestTheRaceDetectorHasNothingToSeeWhereItIsLeftOut: hack/test.sh runs packages without
// the race detector, to which their work on one goroutine would only add more.
func TestTheRaceDetectorHasNothingToSeeWhereItIsLeftOut(t *testing.T) {
	script, err := os.ReadFile(filepath.Join("..", "..", "hack", "test.sh"))
	if err != nil {
		t.Fatal(err)
	}
	match := regexp.MustCompile(`(?m)^sequential='([^']+)'$`).FindSubmatch(script)
	if match == nil {
		t.Fatal("hack/test.sh does not say which packages are sequential")
	}
	for _, dir := range strings.Fields(string(match[1])) {
		files, err := filepath.Glob(filepath.Join("..", "..", dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Errorf("%s: no Go files (error %v)", dir, err)
		}
		for _, name := range files {
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, at := range concurrency(file) {
				t.Errorf("%s starts a goroutine: take %s from the sequential packages of hack/test.sh", fset.Position(at), dir)
			}
		}
	}
}

// concurrency returns where a file starts goroutines.
func concurrency(file *ast.File) (at []token.Pos) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			at = append(at, n.Pos())
		case *ast.CallExpr:
			if f, ok := n.Fun.(*ast.SelectorExpr); ok && slices.Contains(parallel, f.Sel.Name) {
				at = append(at, n.Pos())
			}
		}
		return true
	})
	return at
}

func TestConcurrencyIsFound(t *testing.T) {
	for name, tc := range map[string]struct {
		body string
		want int
	}{
		"nothing":            {`f(); group.Wait()`, 0},
		"a go statement":     {`go f()`, 1},
		"a group":            {`var group sync.WaitGroup; group.Go(f)`, 1},
		"parallel tests":     {`t.Parallel(); b.RunParallel(f)`, 2},
		"a server":           {`s := httptest.NewServer(h); s.Close()`, 1},
		"one inside of them": {`t.Run("", func(t *testing.T) { defer context.AfterFunc(ctx, f)() })`, 1},
	} {
		t.Run(name, func(t *testing.T) {
			file, err := parser.ParseFile(token.NewFileSet(), "a.go", "package a\nfunc a() { "+tc.body+" }", 0)
			if err != nil {
				t.Fatal(err)
			}
			if got := len(concurrency(file)); got != tc.want {
				t.Errorf("found %d, want %d", got, tc.want)
			}
		})
	}
}
