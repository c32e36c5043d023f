// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// pkg is a package as it is on disk, and what the mutants make of it.
type pkg struct {
	path, name, dir string
	module          string // the folder of its module
	fset            *token.FileSet
	files           []*file
	info            *types.Info
	mutants         []*mutant
}

// file is one file of a package that is not a test.
type file struct {
	path   string
	source []byte
	syntax *ast.File
	edits  edits
}

// listed is what `go list` says about a package.
type listed struct {
	ImportPath, Name, Dir, Export string
	GoFiles                       []string
	DepOnly                       bool
	Error                         *struct{ Err string }
}

// load parses and type-checks the packages that the patterns name. What they import is read
// from the compiler's export data.
func load(ctx context.Context, dir string, patterns []string) ([]*pkg, error) {
	args := append([]string{"list", "-export", "-deps", "-json=ImportPath,Name,Dir,Export,GoFiles,DepOnly,Error", "--"}, patterns...)
	list := exec.CommandContext(ctx, "go", args...)
	list.Dir = dir
	var errs bytes.Buffer
	list.Stderr = &errs
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("listing packages: %w: %s", err, errs.Bytes())
	}
	var roots []listed
	exports := map[string]string{}
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var l listed
		if err := decoder.Decode(&l); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		if l.Error != nil {
			return nil, fmt.Errorf("listing %s: %s", l.ImportPath, l.Error.Err)
		}
		exports[l.ImportPath] = l.Export
		if !l.DepOnly {
			roots = append(roots, l)
		}
	}
	var packages []*pkg
	for _, l := range roots {
		p, err := l.parse(exports)
		if err != nil {
			return nil, err
		}
		p.module = dir
		packages = append(packages, p)
	}
	return packages, nil
}

func (l listed) parse(exports map[string]string) (*pkg, error) {
	p := &pkg{path: l.ImportPath, name: l.Name, dir: l.Dir, fset: token.NewFileSet()}
	p.info = &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}}
	var syntax []*ast.File
	for _, name := range l.GoFiles {
		path := filepath.Join(l.Dir, name)
		source, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		f, err := parser.ParseFile(p.fset, path, source, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		syntax = append(syntax, f)
		p.files = append(p.files, &file{path: path, source: source, syntax: f})
	}
	open := func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) }
	config := types.Config{Importer: importer.ForCompiler(p.fset, "gc", open)}
	if _, err := config.Check(l.ImportPath, p.fset, syntax, p.info); err != nil {
		return nil, fmt.Errorf("checking types of %s: %w", l.ImportPath, err)
	}
	return p, nil
}
