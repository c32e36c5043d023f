// SPDX-License-Identifier: Apache-2.0

// Package template runs Go templates that the users of a cluster write into the
// fields of objects, such as the message of a commit.
//
// A Go template is a program: it loops, calls itself, and calls functions that
// make a terabyte of one argument. Nothing can stop it from outside, and who runs
// out of memory is not the template but the process. So the program is changed
// before it runs:
//
//	{{ range X }}body{{ end }}   X is measured, and each turn of body is paid for
//	{{ define "a" }}body{{ end }}  each use of body is paid for, and may not nest deep
//	{{ X }}                      X is measured before it is printed
//	f X                          f is one of a closed set; X, what f will cost, and
//	                             what it returns are paid for, in advance where
//	                             paying later would be too late
//
// All of it comes out of one [Limits.Work]. A template that spends more ends with
// [ErrBudget], the same at each run: retrying does not help, only another template.
package template

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"text/template"
	"text/template/parse"
	"time"
)

// ErrBudget means that a template asked for more than templates may have. Another
// run of it would do so again.
var ErrBudget = errors.New("the template exceeds what templates may do")

// Limits bound what one run of a template may do.
type Limits struct {
	// Source and Text are the bytes that the template and what it prints may have.
	Source, Text int
	// Value is the size of the largest value: the bytes of its strings, and 16 for
	// each element, key or field. It may nest 64 deep.
	Value int64
	// Work is what a run may spend: 16 for each node that is visited, 64 for each turn
	// of a loop and each call of a function or a template, and the size of what a
	// function is given and returns.
	Work int64
	// Time ends what the others let go on for longer than it should, on a machine
	// that is slow.
	Time time.Duration
}

// DefaultLimits are for texts that people read, and that may list some ten
// thousand things.
var DefaultLimits = Limits{Source: 64 << 10, Text: 1 << 20, Value: 4 << 20, Work: 32 << 20, Time: 5 * time.Second}

// Language is what the templates of one field may say.
type Language struct {
	// Name is what errors call the template, such as "commit message".
	Name string
	// Functions are what it may call besides what the text/template package has.
	Functions template.FuncMap
	// Strict makes the use of a key that a map does not have an error.
	Strict bool
	// Data is an example of what the template is executed on: fields that it does not have
	// are refused by Parse, wherever they are named. Of strict templates that is true of keys
	// of its maps as well, but for those that are nil. Nil is not known.
	Data any
	// Limits are [DefaultLimits] where they are zero.
	Limits Limits
}

// Template is a template that cannot do harm. It may run any number of times, also
// at the same time.
type Template struct {
	name      string
	limits    Limits
	template  *template.Template
	functions template.FuncMap
}

// Parse reads a template.
func (l Language) Parse(source string) (*Template, error) {
	limits := l.Limits
	if limits == (Limits{}) {
		limits = DefaultLimits
	}
	if len(source) > limits.Source {
		return nil, fmt.Errorf("parsing the %s: %w: it is longer than %d bytes", l.Name, ErrBudget, limits.Source)
	}
	functions := printers()
	for name, f := range l.Functions {
		functions[name] = f
	}
	t := template.New(l.Name).Funcs(functions)
	if l.Strict {
		t.Option("missingkey=error")
	}
	if _, err := t.Parse(source); err != nil {
		return nil, fmt.Errorf("parsing the %s: %w", l.Name, brief(err))
	}
	if err := l.checkFields(t); err != nil {
		return nil, brief(err)
	}
	used := map[string]bool{}
	for _, defined := range t.Templates() {
		if defined.Tree != nil && defined.Root != nil {
			instrument(defined.Tree, used)
		}
	}
	for name := range functions {
		if !used[name] {
			delete(functions, name)
		}
	}
	return &Template{name: l.Name, limits: limits, template: t, functions: functions}, nil
}

// checkFields refuses fields that the data does not have.
func (l Language) checkFields(t *template.Template) error {
	if l.Data == nil || t.Tree == nil {
		return nil
	}
	trees := func(name string) *parse.Tree {
		if of := t.Lookup(name); of != nil {
			return of.Tree
		}
		return nil
	}
	c := fieldChecker{trees: trees, strict: l.Strict, checked: map[string]bool{}}
	return c.template(t.Tree, knownValueOf(reflect.TypeOf(l.Data), reflect.ValueOf(l.Data)))
}

// Execute runs the template on data, whose methods take no time.
func (t *Template) Execute(ctx context.Context, data any) (text string, err error) {
	timed, cancel := context.WithTimeout(ctx, t.limits.Time)
	defer cancel()
	m := &meter{limits: t.limits, left: t.limits.Work, stopped: func() error {
		if ctx.Err() == nil && timed.Err() != nil {
			return fmt.Errorf("%w: it runs for more than %s", ErrBudget, t.limits.Time)
		}
		return ctx.Err()
	}}
	defer func() {
		if r := recover(); r != nil {
			text, err = "", fmt.Errorf("executing the %s: %v", t.name, r)
		}
	}()
	program, err := t.template.Clone()
	if err != nil {
		return "", fmt.Errorf("executing the %s: %w", t.name, err)
	}
	program.Funcs(m.functions(t.functions))
	out := &output{meter: m}
	err = m.spend(0)
	if err == nil {
		err = program.Execute(out, data)
	}
	switch {
	case m.failed != nil: // says it without the places of calls that nobody wrote
		return "", fmt.Errorf("executing the %s: %w", t.name, m.failed)
	case err != nil:
		return "", fmt.Errorf("executing the %s: %w", t.name, brief(err))
	}
	return out.text.String(), nil
}

// output is what a template prints.
type output struct {
	meter *meter
	text  strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	if o.text.Len()+len(p) > o.meter.limits.Text {
		return 0, o.meter.fail(fmt.Errorf("%w: its text is longer than %d bytes", ErrBudget, o.meter.limits.Text))
	}
	return o.text.Write(p)
}

// The names of the calls that are put into a template. Nobody else can call them:
// they are not defined while it is parsed.
const (
	turn  = "sluice_turn"  // in front of the body of a loop
	enter = "sluice_enter" // in front of a template that others call
	leave = "sluice_leave" // behind it
	whole = "sluice_whole" // behind what is printed or ranged over
)

// instrument puts calls to the meter into a tree, and notes which functions it calls.
func instrument(tree *parse.Tree, used map[string]bool) {
	in := instrumenter{used: used}
	size := in.list(tree.Root)
	nodes := append([]parse.Node{call(fmt.Sprintf("%s %d", enter, size))}, tree.Root.Nodes...)
	tree.Root.Nodes = append(nodes, call(leave))
}

// call is the node of a call to the meter.
func call(text string) *parse.ActionNode {
	known := map[string]any{turn: true, enter: true, leave: true, whole: true}
	trees, err := parse.Parse("call", "{{ "+text+" }}", "{{", "}}", known)
	if err != nil {
		panic(err) // the text is ours
	}
	return trees["call"].Root.Nodes[0].(*parse.ActionNode)
}

// instrumenter changes nodes, and counts them.
type instrumenter struct{ used map[string]bool }

func (in instrumenter) list(l *parse.ListNode) int {
	if l == nil {
		return 0
	}
	size := 0
	for _, n := range l.Nodes {
		size += in.node(n)
	}
	return size
}

func (in instrumenter) node(n parse.Node) int {
	switch n := n.(type) {
	case *parse.ActionNode:
		size := in.pipe(n.Pipe)
		if len(n.Pipe.Decl) == 0 {
			n.Pipe.Cmds = append(n.Pipe.Cmds, call(whole).Pipe.Cmds...)
		}
		return 1 + size
	case *parse.IfNode:
		return in.branch(&n.BranchNode)
	case *parse.WithNode:
		return in.branch(&n.BranchNode)
	case *parse.RangeNode:
		size := in.branch(&n.BranchNode)
		n.Pipe.Cmds = append(n.Pipe.Cmds, call(whole).Pipe.Cmds...)
		n.List.Nodes = append([]parse.Node{call(fmt.Sprintf("%s %d", turn, size))}, n.List.Nodes...)
		return size
	case *parse.TemplateNode:
		return 1 + in.pipe(n.Pipe)
	}
	return 1
}

func (in instrumenter) branch(n *parse.BranchNode) int {
	return 1 + in.pipe(n.Pipe) + in.list(n.List) + in.list(n.ElseList)
}

func (in instrumenter) pipe(p *parse.PipeNode) int {
	if p == nil {
		return 0
	}
	size := 0
	for _, command := range p.Cmds {
		for _, arg := range command.Args {
			size += in.argument(arg)
		}
	}
	return size
}

func (in instrumenter) argument(n parse.Node) int {
	switch n := n.(type) {
	case *parse.IdentifierNode:
		in.used[n.Ident] = true
	case *parse.PipeNode:
		return in.pipe(n)
	case *parse.ChainNode:
		return len(n.Field) + in.argument(n.Node)
	case *parse.FieldNode:
		return len(n.Ident)
	case *parse.VariableNode:
		return len(n.Ident)
	}
	return 1
}

// maxErrorText bounds what is said about a template that fails: it may have chosen the
// words, and a condition has no place for a megabyte of them.
const maxErrorText = 1000

// brief is an error without the middle of a text that is too long.
func brief(err error) error {
	text := err.Error()
	if len(text) <= maxErrorText {
		return err
	}
	const half = maxErrorText / 2
	return errors.New(strings.ToValidUTF8(text[:half], "") + " ... " + strings.ToValidUTF8(text[len(text)-half:], ""))
}
