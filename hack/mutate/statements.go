// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"path/filepath"
	"slices"
	"strings"
)

// statement mutates a statement, and reports whether to visit what is in it.
func (m *mutator) statement(s ast.Stmt) bool {
	switch s := s.(type) {
	case *ast.BlockStmt:
		m.list(s.List)
	case *ast.CaseClause:
		m.list(s.Body)
		m.condition(s.List...) // counts only where the switch has no tag: others are not bool
	case *ast.CommClause:
		m.list(s.Body)
	case *ast.IfStmt:
		m.condition(s.Cond)
	case *ast.ForStmt:
		m.condition(s.Cond)
	case *ast.ReturnStmt:
		m.returned(s)
	case *ast.ExprStmt:
		if m.unseen(s.X) {
			return false
		}
	case *ast.DeferStmt:
		if m.unseen(s.Call) {
			return false
		}
	}
	if removable(s) {
		m.leaveOut(s)
	}
	return true
}

// removable reports whether a function compiles without the statement, as a rule.
func removable(s ast.Stmt) bool {
	switch s := s.(type) {
	case *ast.ExprStmt, *ast.DeferStmt, *ast.IncDecStmt, *ast.SendStmt, *ast.GoStmt:
		return true
	case *ast.AssignStmt:
		return s.Tok != token.DEFINE && !allBlank(s.Lhs)
	case *ast.BranchStmt:
		return s.Tok == token.BREAK || s.Tok == token.CONTINUE
	}
	return false
}

func (m *mutator) list(statements []ast.Stmt) {
	for _, s := range statements {
		m.listed[s] = true
	}
}

func (m *mutator) condition(expressions ...ast.Expr) {
	for _, e := range expressions {
		if e != nil {
			m.conditions[e] = true
		}
	}
}

func (m *mutator) leaveOut(s ast.Stmt) {
	if m.listed[s] {
		m.wrap(s, "leave out "+m.text(s), "if !mutant__is(%d) { ", " }")
	}
}

// body makes a function that returns nothing return at once. One with a single statement is
// the same as without the statement.
func (m *mutator) body(t *ast.FuncType, body *ast.BlockStmt) {
	if body == nil || t.Results != nil || len(body.List) < 2 {
		return
	}
	m.early(t, body.List[0], "return at once", "return")
}

// early puts a return before a statement.
func (m *mutator) early(n ast.Node, s ast.Stmt, change, text string) {
	id := m.add(n, change)
	m.edits.insert(id, m.offset(s.Pos()), fmt.Sprintf("if mutant__is(%d) { %s }; ", id, text))
}

// returned makes a function return the zero value of one of its results, or its bool negated.
func (m *mutator) returned(s *ast.ReturnStmt) {
	results := m.results()
	switch {
	case len(results) == 0:
		m.leaveOut(s)
	case len(s.Results) == 1 && len(results) > 1 && m.listed[s]:
		m.early(s, s, "return zero values, not "+m.text(s.Results[0]), "return *new("+strings.Join(results, "), *new(")+")")
	}
	if len(s.Results) != len(results) {
		return
	}
	calls := countCalls(s.Results)
	for i, e := range s.Results {
		switch {
		case m.isBool(e):
			m.conditions[e] = true
			if m.info.Types[e].Value != nil {
				m.wrap(e, "return not "+m.text(e), "mutant__not(%d, ", ")")
			}
		case !m.isZero(e) && (calls == 0 || isCall(e) || calls == 1 && hasCall(e)):
			m.wrap(e, "return the zero value, not "+m.text(e), "mutant__zero["+strings.ReplaceAll(results[i], "%", "%%")+"](%d, ", ")")
		}
	}
}

// results are the types of the results of the function around, as they are written there.
func (m *mutator) results() []string {
	for _, n := range slices.Backward(m.stack) {
		var t *ast.FuncType
		switch n := n.(type) {
		case *ast.FuncDecl:
			t = n.Type
		case *ast.FuncLit:
			t = n.Type
		default:
			continue
		}
		var written []string
		if t.Results != nil {
			for _, field := range t.Results.List {
				text := strings.Join(strings.Fields(string(m.source[m.offset(field.Type.Pos()):m.offset(field.Type.End())])), " ")
				for range max(1, len(field.Names)) {
					written = append(written, text)
				}
			}
		}
		return written
	}
	return nil
}

// countCalls counts the results that call a function. The order in which calls and variables are evaluated
// is unspecified, but a variable that is wrapped in a call is read in its turn: one that stands beside
// a call is left alone.
func countCalls(results []ast.Expr) int {
	n := 0
	for _, e := range results {
		if hasCall(e) {
			n++
		}
	}
	return n
}

func hasCall(e ast.Expr) bool {
	found := false
	ast.Inspect(e, func(n ast.Node) bool {
		found = found || isCall(n)
		_, literal := n.(*ast.FuncLit)
		return !literal
	})
	return found
}

func isCall(n ast.Node) bool {
	_, ok := n.(*ast.CallExpr)
	return ok
}

// isZero reports whether the expression is a zero value already.
func (m *mutator) isZero(e ast.Expr) bool {
	value := m.info.Types[e]
	if value.IsNil() {
		return true
	}
	if value.Value != nil {
		return value.Value.ExactString() == "0" || value.Value.ExactString() == `""`
	}
	literal, ok := e.(*ast.CompositeLit)
	if !ok || len(literal.Elts) > 0 {
		return false
	}
	switch m.info.TypeOf(e).Underlying().(type) {
	case *types.Struct, *types.Array, *types.Slice: // an empty slice and nil mean the same
		return true
	}
	return false
}

// unseen reports whether a test of behaviour cannot notice that a call is missing: it logs, locks,
// closes or cancels. A call of panic stays, too: a test that gets there fails anyway.
func (m *mutator) unseen(e ast.Expr) bool {
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return false
	}
	if named, ok := m.info.TypeOf(call.Fun).(*types.Named); ok && named.Obj().Name() == "CancelFunc" {
		return true
	}
	switch fun := ast.Unparen(call.Fun).(type) {
	case *ast.Ident:
		return fun.Name == "panic"
	case *ast.SelectorExpr:
		if fun.Sel.Name == "Close" {
			return true
		}
		callee := m.info.Uses[fun.Sel]
		if callee == nil || callee.Pkg() == nil {
			return false
		}
		switch callee.Pkg().Path() {
		case "sync", "log", "log/slog", "github.com/go-logr/logr":
			return fun.Sel.Name != "Wait" && fun.Sel.Name != "Do"
		}
	}
	return false
}

func allBlank(expressions []ast.Expr) bool {
	return !slices.ContainsFunc(expressions, func(e ast.Expr) bool {
		id, ok := e.(*ast.Ident)
		return !ok || id.Name != "_"
	})
}

func baseName(path string) string { return filepath.Base(path) }

// shorten puts source on one line of at most 80 bytes.
func shorten(source []byte) string {
	text := strings.Join(strings.Fields(string(source)), " ")
	if len(text) > 80 {
		text = strings.ToValidUTF8(text[:77], "") + "..."
	}
	return text
}
