// SPDX-License-Identifier: Apache-2.0

package cel

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/ext"
)

// Bounds of an expression. Nobody's filter comes near them.
const (
	// MaxLength of an expression in bytes.
	MaxLength = 4 << 10
	// maxDepth is how deep an expression may nest, and maxLoops how many comprehensions
	// it may have: what the compiler takes grows with the third power of either.
	maxDepth = 50
	maxLoops = 10
	// MaxSteps of one evaluation. They take a few tenths of a second.
	MaxSteps = 2_000_000
	// QuickSteps are the steps of a condition that is evaluated where nobody can wait: about
	// ten milliseconds.
	QuickSteps = 100_000
	// MaxText is the longest text in bytes that a call may make.
	MaxText = 4 << 20
)

// ErrTooExpensive means that an expression is longer, or takes more, than it may.
// Only an edit of it helps.
var ErrTooExpensive = errors.New("the expression takes more than it may")

// Program is an expression that was compiled. It may be used by several goroutines,
// one of which evaluates it at a time.
type Program struct {
	text    string
	program cel.Program

	mu    sync.Mutex
	meter *meter
}

// Compile checks an expression that may ask about the variables, each of which is
// an object whose fields are not known beforehand.
func Compile(text string, variables ...string) (*Program, error) {
	env, checked, err := check(text, variables)
	if err != nil {
		return nil, err
	}
	return plan(env, checked, text, MaxSteps)
}

// CompileText compiles an expression that must come to a text. One whose type shows only when it is
// evaluated, such as event.message, is taken, too.
func CompileText(text string, variables ...string) (*Program, error) {
	env, checked, err := check(text, variables)
	if err != nil {
		return nil, err
	}
	if kind := checked.OutputType(); !kind.IsExactType(cel.StringType) && !kind.IsExactType(cel.DynType) {
		return nil, fmt.Errorf("the expression %q comes to a value of type %s, not to a text", text, kind)
	}
	return plan(env, checked, text, MaxSteps)
}

// CompileCondition compiles an expression that must be true or false. One whose
// type shows only when it is evaluated, such as req.draft, is taken, too.
func CompileCondition(text string, variables ...string) (*Program, error) {
	return compileCondition(text, MaxSteps, variables)
}

// CompileQuickCondition is [CompileCondition] for one that is evaluated where nobody can
// wait: it may take [QuickSteps].
func CompileQuickCondition(text string, variables ...string) (*Program, error) {
	return compileCondition(text, QuickSteps, variables)
}

func compileCondition(text string, steps int, variables []string) (*Program, error) {
	if _, _, err := check(text, variables); err != nil { // says what is wrong where the author wrote it
		return nil, err
	}
	// Comparing it with true makes the compiler accept it, and nothing that can never
	// be either. The lines keep a comment in it from hiding the rest.
	env, checked, err := check("(\n"+text+"\n) == true", variables)
	if err != nil {
		return nil, fmt.Errorf("the expression %q is not true or false", text)
	}
	return plan(env, checked, text, steps)
}

// ParseCondition parses an expression about an object whose fields are its variables,
// such as status.phase == "Ready". Which fields there are, and whether it comes to true or
// false, shows only when it is evaluated. It may take [QuickSteps].
func ParseCondition(text string) (*Program, error) {
	env, parsed, err := parse(text, nil)
	if err != nil {
		return nil, err
	}
	if made := messages(parsed); made != "" {
		return nil, makesMessage(text, made)
	}
	return plan(env, parsed, text, QuickSteps)
}

func check(text string, variables []string) (*cel.Env, *cel.Ast, error) {
	env, parsed, err := parse(text, variables)
	if err != nil {
		return nil, nil, err
	}
	checked, issues := env.Check(parsed)
	if issues.Err() != nil {
		return nil, nil, fmt.Errorf("compiling the expression %q: %w", text, issues.Err())
	}
	// Making one copies all that goes into it, however often it is in there.
	if made := messages(checked); made != "" {
		return nil, nil, makesMessage(text, made)
	}
	return env, checked, nil
}

func makesMessage(text, made string) error {
	return fmt.Errorf("compiling the expression %q: it makes a message of type %s, which is not served", text, made)
}

func parse(text string, variables []string) (*cel.Env, *cel.Ast, error) {
	if len(text) > MaxLength {
		return nil, nil, fmt.Errorf("%w: it is %d bytes long, and %d are allowed", ErrTooExpensive, len(text), MaxLength)
	}
	env, err := environment(strings.Join(variables, " "))
	if err != nil {
		return nil, nil, err
	}
	parsed, issues := env.Parse(text)
	if issues.Err() != nil {
		return nil, nil, fmt.Errorf("compiling the expression %q: %w", text, issues.Err())
	}
	if err := simple(parsed); err != nil {
		return nil, nil, fmt.Errorf("compiling the expression %q: %w", text, err)
	}
	return env, parsed, nil
}

// simple refuses an expression that would take the compiler long.
func simple(parsed *cel.Ast) error {
	loops, depth := 0, 0
	for _, node := range ast.MatchDescendants(ast.NavigateAST(parsed.NativeRep()), ast.AllMatcher()) {
		depth = max(depth, node.Depth())
		if node.Kind() == ast.ComprehensionKind {
			loops++
		}
	}
	switch {
	case loops > maxLoops:
		return fmt.Errorf("%w: it has %d comprehensions, such as exists and map, and %d are allowed", ErrTooExpensive, loops, maxLoops)
	case depth > 2*maxDepth:
		return fmt.Errorf("%w: it is nested more than %d deep", ErrTooExpensive, 2*maxDepth)
	}
	return nil
}

// messages names the type of a protobuf message that an expression makes, "" if it
// makes none.
func messages(checked *cel.Ast) string {
	var made string
	ast.PostOrderVisit(checked.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() == ast.StructKind {
			made = e.AsStruct().TypeName()
		}
	}))
	return made
}

func plan(env *cel.Env, expression *cel.Ast, text string, steps int) (*Program, error) {
	m := &meter{most: steps}
	program, err := env.Program(expression, cel.CustomDecoratorV2(m.decorate))
	if err != nil {
		return nil, fmt.Errorf("compiling the expression %q: %w", text, err)
	}
	return &Program{text: text, program: program, meter: m}, nil
}

// environments are made once for each set of variables: making one takes longer
// than compiling an expression.
var environments sync.Map

func environment(variables string) (*cel.Env, error) {
	if env, ok := environments.Load(variables); ok {
		return env.(*cel.Env), nil
	}
	options := []cel.EnvOption{
		cel.HomogeneousAggregateLiterals(),
		cel.EagerlyValidateDeclarations(true),
		cel.DefaultUTCTimeZone(true),
		cel.CrossTypeNumericComparisons(true),
		cel.ParserRecursionLimit(maxDepth),
		cel.OptionalTypes(),
		ext.Strings(),
		ext.Sets(),
		ext.Encoders(),
	}
	for _, name := range strings.Fields(variables) {
		options = append(options, cel.Variable(name, cel.ObjectType("google.protobuf.Struct")))
	}
	env, err := cel.NewEnv(options...)
	if err != nil {
		return nil, fmt.Errorf("preparing expressions: %w", err)
	}
	environments.Store(variables, env)
	return env, nil
}

// Evaluate returns what the expression comes to. The error is [ErrTooExpensive]
// when it was ended for what it takes, and that of ctx when it was ended by that.
func (p *Program) Evaluate(ctx context.Context, data map[string]any) (any, error) {
	return p.evaluate(ctx.Err, data)
}

// Holds reports whether a condition is true. Nothing ends it but its budget.
func (p *Program) Holds(data map[string]any) (bool, error) {
	value, err := p.evaluate(func() error { return nil }, data)
	if err != nil {
		return false, err
	}
	holds, ok := value.(bool)
	if !ok {
		return false, fmt.Errorf("evaluating the expression %q: it is not true or false", p.text)
	}
	return holds, nil
}

func (p *Program) evaluate(stopped func() error, data map[string]any) (any, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.meter.start(stopped)
	result, _, err := p.program.Eval(data)
	switch {
	case p.meter.ended != nil:
		return nil, fmt.Errorf("evaluating the expression %q: %w", p.text, p.meter.ended)
	case err != nil:
		// The library quotes what it was given, which may be all of what was sent.
		return nil, fmt.Errorf("evaluating the expression %q: %.200s", p.text, err.Error())
	}
	return result.Value(), nil
}
