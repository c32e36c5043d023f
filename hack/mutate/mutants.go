// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
)

// mutant is one fault that could be in a package.
type mutant struct {
	ID      int     `json:"id"`
	File    string  `json:"file"` // from the folder of the package
	Line    int     `json:"line"`
	Column  int     `json:"column"`
	Change  string  `json:"change"`
	Outcome outcome `json:"fate"`
}

// outcome is what became of a mutant.
type outcome string

const (
	uncovered outcome = "not covered" // no test reaches it
	killed    outcome = "killed"
	timedOut  outcome = "timed out" // counts as killed: a test run that does not end is noticed
	survived  outcome = "survived"
	invalid   outcome = "invalid" // does not compile, so it is no mutant
)

// mutator walks one file and notes its mutants.
type mutator struct {
	*pkg
	*file
	stack []ast.Node
	// conditions are the expressions whose value decides something by itself: the condition of an if,
	// an operand of && or !, a returned bool.
	conditions map[ast.Expr]bool
	listed     map[ast.Stmt]bool // statements of a block, around which an if can be put
}

// mutate notes all mutants of the package, and the edits that make them.
func (p *pkg) mutate() {
	for _, f := range p.files {
		if ast.IsGenerated(f.syntax) {
			continue
		}
		m := &mutator{pkg: p, file: f, conditions: map[ast.Expr]bool{}, listed: map[ast.Stmt]bool{}}
		ast.Inspect(f.syntax, m.visit)
	}
}

func (m *mutator) visit(n ast.Node) bool {
	if n == nil {
		m.stack = m.stack[:len(m.stack)-1]
		return true
	}
	if !m.mutateNode(n) {
		return false
	}
	m.stack = append(m.stack, n)
	return true
}

// mutateNode mutates a node, and reports whether to visit what is in it.
func (m *mutator) mutateNode(n ast.Node) bool {
	if s, ok := n.(ast.Stmt); ok {
		return m.statement(s)
	}
	switch n := n.(type) {
	case *ast.GenDecl:
		return n.Tok == token.VAR
	case *ast.Field:
		return false // a type
	case *ast.FuncDecl:
		m.body(n.Type, n.Body)
	case *ast.FuncLit:
		m.body(n.Type, n.Body)
	case ast.Expr:
		return m.expression(n)
	}
	return true
}

// expression mutates comparisons, logic, arithmetic and conditions. What is constant stays.
func (m *mutator) expression(e ast.Expr) bool {
	if m.info.Types[e].Value != nil {
		return false
	}
	switch e := e.(type) {
	case *ast.ParenExpr:
		if m.conditions[e] {
			m.conditions[e.X] = true
		}
		return true
	case *ast.CallExpr:
		if id, ok := e.Fun.(*ast.Ident); ok && id.Name == "make" {
			return false // a capacity, which nobody sees
		}
	case *ast.UnaryExpr:
		if e.Op == token.NOT {
			m.conditions[e.X] = true
			return true
		}
	case *ast.BinaryExpr:
		if m.binary(e) {
			return true
		}
	}
	if m.conditions[e] && m.isBool(e) {
		m.wrap(e, "negate "+m.text(e), "mutant__not(%d, ", ")")
	}
	return true
}

var boundaries = map[token.Token]struct{ name, other string }{
	token.LSS: {"lss", "<="}, token.LEQ: {"leq", "<"}, token.GTR: {"gtr", ">="}, token.GEQ: {"geq", ">"},
}

var arithmetic = map[token.Token]struct{ name, other string }{
	token.ADD: {"add", "-"}, token.SUB: {"sub", "+"}, token.MUL: {"mul", "/"}, token.QUO: {"quo", "*"},
}

// binary mutates an operator, and reports whether it is one of those that are mutated.
func (m *mutator) binary(e *ast.BinaryExpr) bool {
	from, to := e.X, e.Y
	switch e.Op {
	case token.LAND, token.LOR:
		m.conditions[from], m.conditions[to] = true, true
		if !m.isPlainBool(e) || !m.isPlainBool(from) || !m.isPlainBool(to) {
			return true
		}
		name, other := "and", "||"
		if e.Op == token.LOR {
			name, other = "or", "&&"
		}
		m.wrap(e, fmt.Sprintf("%s -> %s in %s", e.Op, other, m.text(e)), "mutant__"+name+"(%d, ", ") })")
		m.operator(e, ", func() bool { return (")
		return true
	case token.EQL, token.NEQ:
		m.wrap(e, "negate "+m.text(e), "mutant__not(%d, ", ")")
		return true
	case token.LSS, token.LEQ, token.GTR, token.GEQ:
		m.wrap(e, "negate "+m.text(e), "mutant__not(%d, ", ")")
		b := boundaries[e.Op]
		m.wrap(e, fmt.Sprintf("%s -> %s in %s", e.Op, b.other, m.text(e)), "mutant__"+b.name+"(%d, ", ")")
		m.operator(e, ",")
		return true
	case token.ADD, token.SUB, token.MUL, token.QUO:
		if basic, ok := m.info.TypeOf(e).Underlying().(*types.Basic); !ok || basic.Info()&(types.IsInteger|types.IsFloat) == 0 {
			return true
		}
		a := arithmetic[e.Op]
		m.wrap(e, fmt.Sprintf("%s -> %s in %s", e.Op, a.other, m.text(e)), "mutant__"+a.name+"(%d, ", ")")
		m.operator(e, ",")
		return true
	}
	return false
}

// operator replaces the operator of what the last mutant has wrapped.
func (m *mutator) operator(e *ast.BinaryExpr, text string) {
	m.edits.replace(len(m.mutants)-1, m.offset(e.OpPos), len(e.Op.String()), text)
}

// add notes a mutant and returns its number.
func (m *mutator) add(n ast.Node, change string) int {
	at := m.fset.Position(n.Pos())
	id := len(m.mutants)
	m.mutants = append(m.mutants,
		&mutant{ID: id, File: baseName(at.Filename), Line: at.Line, Column: at.Column, Change: change, Outcome: uncovered})
	return id
}

// wrap notes a mutant that is made by text around the node; %d in the prefix is the mutant's number.
func (m *mutator) wrap(n ast.Node, change, prefix, suffix string) {
	id := m.add(n, change)
	m.edits.wrap(id, m.offset(n.Pos()), m.offset(n.End()), fmt.Sprintf(prefix, id), suffix)
}

func (m *mutator) offset(p token.Pos) int { return m.fset.Position(p).Offset }

// text is the source of a node on one line, shortened.
func (m *mutator) text(n ast.Node) string {
	return shorten(m.source[m.offset(n.Pos()):m.offset(n.End())])
}

func (m *mutator) isBool(e ast.Expr) bool {
	value := m.info.Types[e]
	if !value.IsValue() { // "case bool" of a type switch
		return false
	}
	basic, ok := value.Type.Underlying().(*types.Basic)
	return ok && basic.Info()&types.IsBoolean != 0
}

func (m *mutator) isPlainBool(e ast.Expr) bool {
	_, ok := m.info.TypeOf(e).(*types.Basic)
	return ok && m.isBool(e)
}
