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

// inProcess are the folders whose code runs in the controller. Commands may end with a panic.
var inProcess = []string{
	"api", "apply", "canary", "cmd/sluice/app", "controllers", "internal", "notify", "policy", "promotion", "report", "scan", "source", "ui",
	"writeback",
}

// mayPanic are goroutines that do nothing but wait, or whose framework recovers panics.
var mayPanic = map[string]string{
	"apply/build/process.go":             "waits for a process that was killed",
	"apply/watch/informers.go":           "runs an informer, whose goroutines are its own: what they call recovers where it is given",
	"cmd/sluice/app/kinds_wait.go":       "serves HTTP, which recovers panics of handlers",
	"internal/wake/waketest/waketest.go": "is part of tests",
	"internal/webhook/queue.go":          "waits for goroutines",
}

// inProcessDirs are the folders of packages whose code runs in the controller.
func inProcessDirs(t *testing.T) map[string]bool {
	t.Helper()
	dirs := map[string]bool{}
	for name := range sources(t) {
		dir := filepath.ToSlash(filepath.Dir(name))
		for _, root := range inProcess {
			if dir == root || strings.HasPrefix(dir, root+"/") {
				dirs[dir] = true
			}
		}
	}
	return dirs
}

// TestGoroutinesOfTheControllerSurvivePanics: a panic in a goroutine that no framework started
// ends the process, and ends it again after the restart, since the object that caused it is
// still there. See package background.
func TestGoroutinesOfTheControllerSurvivePanics(t *testing.T) {
	excused := map[string]bool{}
	for dir := range inProcessDirs(t) {
		p := parseDir(t, dir)
		for _, at := range p.unrecovered() {
			name, _ := filepath.Rel(filepath.Join("..", ".."), at.Filename)
			if name = filepath.ToSlash(name); mayPanic[name] != "" {
				excused[name] = true
				continue
			}
			t.Errorf("%s:%d: a panic of this goroutine ends the process: run it by background.Run or background.Try", name, at.Line)
		}
	}
	for name := range mayPanic {
		if !excused[name] {
			t.Errorf("%s starts no goroutine that may panic any more: take it from the list", name)
		}
	}
}

// TestHandlersOfInformersSurvivePanics: client-go ends the process when a handler panics.
func TestHandlersOfInformersSurvivePanics(t *testing.T) {
	found := 0
	for dir := range inProcessDirs(t) {
		safe, unsafe := parseDir(t, dir).eventHandlers()
		found += safe
		for _, at := range unsafe {
			t.Errorf("%s:%d: a panic of this handler ends the process: wrap it in background.EventHandler", at.Filename, at.Line)
		}
	}
	if found == 0 {
		t.Error("no handlers were found at all")
	}
}

// eventHandlers counts the handlers that a package adds to informers by background.EventHandler, and
// says where it adds others.
func (p pkg) eventHandlers() (safe int, others []token.Position) {
	for _, file := range p.files {
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			f, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !strings.HasPrefix(f.Sel.Name, "AddEventHandler") {
				return true
			}
			if made, ok := call.Args[0].(*ast.CallExpr); ok {
				if from, name := selected(made.Fun); from == "background" && name == "EventHandler" {
					safe++
					return true
				}
			}
			others = append(others, p.fset.Position(n.Pos()))
			return true
		})
	}
	return safe, others
}

// pkg are the files of a package that are no tests.
type pkg struct {
	fset  *token.FileSet
	files []*ast.File
}

func parseDir(t *testing.T, dir string) pkg {
	t.Helper()
	p := pkg{fset: token.NewFileSet()}
	names, err := filepath.Glob(filepath.Join("..", "..", dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(p.fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		p.files = append(p.files, file)
	}
	return p
}

// unrecovered are the places where a package starts a goroutine, by a go statement or the Go of a
// group, in which neither the function itself nor one of the package that it calls recovers.
func (p pkg) unrecovered() (found []token.Position) {
	recovering := map[string]bool{}
	for _, file := range p.files {
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Body != nil && recovers(f.Body, nil) {
				recovering[f.Name.Name] = true
			}
		}
	}
	for _, file := range p.files {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				if !recovers(n.Call, recovering) {
					found = append(found, p.fset.Position(n.Pos()))
				}
			case *ast.CallExpr:
				f, ok := n.Fun.(*ast.SelectorExpr)
				if ok && f.Sel.Name == "Go" && len(n.Args) == 1 && !recovers(n.Args[0], recovering) {
					found = append(found, p.fset.Position(n.Pos()))
				}
			}
			return true
		})
	}
	return found
}

// recovers reports whether a node calls recover, Try or Run of package background, or a
// function of which that is known.
func recovers(node ast.Node, known map[string]bool) (yes bool) {
	ast.Inspect(node, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		switch f := call.Fun.(type) {
		case *ast.Ident:
			yes = yes || f.Name == "recover" || f.Name == "Try" || known[f.Name]
		case *ast.SelectorExpr:
			of, _ := f.X.(*ast.Ident)
			yes = yes || known[f.Sel.Name] || of != nil && of.Name == "background" && (f.Sel.Name == "Try" || f.Sel.Name == "Run")
		}
		return true
	})
	return yes
}

func TestUnsafeHandlersAreFound(t *testing.T) {
	for body, want := range map[string]int{
		"i.AddEventHandler(h)":                                        1,
		"i.AddEventHandlerWithOptions(h, o)":                          1,
		"i.AddEventHandler(w.handler(kind))":                          1,
		"i.AddEventHandler(background.EventHandler(ctx, h))":          0,
		"i.AddEventHandlerWithOptions(background.EventHandler(c, h))": 0,
	} {
		p := pkg{fset: token.NewFileSet()}
		file, err := parser.ParseFile(p.fset, "a.go", "package a\nfunc a() { "+body+" }", parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		p.files = append(p.files, file)
		if _, got := p.eventHandlers(); len(got) != want {
			t.Errorf("%s: found %d, want %d", body, len(got), want)
		}
	}
}

func TestUnrecoveredGoroutinesAreFound(t *testing.T) {
	for name, tc := range map[string]struct {
		body string
		want int
	}{
		"nothing":                            {`f()`, 0},
		"a go statement":                     {`go f()`, 1},
		"one that is run in the background":  {`go background.Run(ctx, f)`, 0},
		"a group":                            {`group.Go(func() error { return f() })`, 1},
		"a group that recovers":              {`group.Go(func() error { return background.Try(ctx, f) })`, 0},
		"a function that recovers":           {`go safe()`, 0},
		"a function that calls one":          {`go func() { safe() }()`, 0},
		"one that is started by one of them": {`go safe(); go f()`, 1},
		"a request to do something":          {`server.Go(a, b)`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := pkg{fset: token.NewFileSet()}
			text := "package a\nfunc safe() { defer func() { recover() }() }\nfunc f() {}\nfunc a() { " + tc.body + " }"
			file, err := parser.ParseFile(p.fset, "a.go", text, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			p.files = append(p.files, file)
			if got := len(p.unrecovered()); got != tc.want {
				t.Errorf("found %d, want %d", got, tc.want)
			}
		})
	}
}
