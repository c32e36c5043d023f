// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
)

const module = "github.com/sluice-cd/sluice/"

// source reads what reflection does not know of packages: comments and constants.
type source struct {
	root     string
	packages map[string]*parsed
}

// parsed is what was read of a package.
type parsed struct {
	// comments by Type, and by Type.Field.
	comments map[string]string
	// constants are the literals of a type, in their order, by the type's name.
	constants map[string][]string
}

// read reads the package of an import path.
func (s *source) read(path string) (*parsed, error) {
	if p, ok := s.packages[path]; ok {
		return p, nil
	}
	dir := filepath.Join(s.root, filepath.FromSlash(strings.TrimPrefix(path, module)))
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("the source of %s is not in %s: run this at the root of the repository", path, dir)
	}
	p := &parsed{comments: map[string]string{}, constants: map[string][]string{}}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			return nil, fmt.Errorf("reading the source of %s: %w", path, err)
		}
		for _, decl := range file.Decls {
			if general, ok := decl.(*ast.GenDecl); ok {
				p.add(general)
			}
		}
	}
	s.packages[path] = p
	return p, nil
}

func (p *parsed) add(decl *ast.GenDecl) {
	for _, spec := range decl.Specs {
		switch is := spec.(type) {
		case *ast.TypeSpec:
			p.addType(decl, is)
		case *ast.ValueSpec:
			if named, ok := is.Type.(*ast.Ident); ok && decl.Tok == token.CONST {
				p.addConstants(named.Name, is.Values)
			}
		}
	}
}

func (p *parsed) addType(decl *ast.GenDecl, is *ast.TypeSpec) {
	p.comments[is.Name.Name] = decl.Doc.Text()
	if is.Doc != nil {
		p.comments[is.Name.Name] = is.Doc.Text()
	}
	fields, ok := is.Type.(*ast.StructType)
	if !ok {
		return
	}
	for _, field := range fields.Fields.List {
		for _, name := range field.Names {
			p.comments[is.Name.Name+"."+name.Name] = field.Doc.Text()
		}
	}
}

func (p *parsed) addConstants(of string, values []ast.Expr) {
	for _, value := range values {
		if literal, ok := value.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			p.constants[of] = append(p.constants[of], literal.Value)
		}
	}
}
