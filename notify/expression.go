package notify

import (
	"fmt"
	"strings"
	"sync"

	"github.com/fluxcd/pkg/runtime/cel"
	"github.com/google/cel-go/common/types"
)

// expression is a CEL expression and what it may ask about.
type expression struct {
	text      string
	variables string // separated by spaces
	boolean   bool   // what it must come to
}

// Expressions of a Receiver. The claims of a token are known only where there is
// one, as in Flux: elsewhere an expression that asks for them is not valid.
func filterOf(text string, withClaims claims) expression {
	return expression{text: text, variables: "res req" + string(withClaims), boolean: true}
}

func variable(text string) expression { return expression{text: text, variables: "claims vars"} }

func validation(text string) expression {
	return expression{text: text, variables: "claims vars", boolean: true}
}

// claims is the variable of filters that only some Receivers have.
type claims string

const (
	noClaims   claims = ""
	someClaims claims = " claims"
)

func (e expression) compile() (*cel.Expression, error) {
	options := []cel.Option{cel.WithCompile(), cel.WithStructVariables(strings.Fields(e.variables)...)}
	program, err := cel.NewExpression(e.text, options...)
	if err != nil || !e.boolean {
		return program, err
	}
	// One whose type shows only when it is evaluated, such as req.draft, is taken
	// too: comparing it with true makes the compiler accept it, and nothing that
	// can never be either. The lines keep a comment in it from hiding the rest.
	condition, err := cel.NewExpression("(\n"+e.text+"\n) == true", append(options, cel.WithOutputType(types.BoolType))...)
	if err != nil {
		return nil, fmt.Errorf("the expression %q is not true or false", e.text)
	}
	return condition, nil
}

// maxPrograms bounds the memory of expressions that nobody uses any more.
const maxPrograms = 1000

// programs keeps compiled expressions: compiling takes longer than all the rest
// of a request.
type programs struct {
	mu    sync.Mutex
	known map[expression]*cel.Expression
}

func newPrograms() *programs { return &programs{known: map[expression]*cel.Expression{}} }

func (p *programs) get(e expression) (*cel.Expression, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if program, ok := p.known[e]; ok {
		return program, nil
	}
	program, err := e.compile()
	if err != nil {
		return nil, err
	}
	if len(p.known) >= maxPrograms {
		clear(p.known)
	}
	p.known[e] = program
	return program, nil
}
