// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"

	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/internal/cel"
	"github.com/sluice-cd/sluice/internal/lru"
)

// expression is a CEL expression and the variables that it may use.
type expression struct {
	text      string
	variables string // separated by spaces
	boolean   bool   // whether its result must be true or false
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

func (e expression) compile() (*cel.Program, error) {
	if e.boolean {
		return cel.CompileCondition(e.text, strings.Fields(e.variables)...)
	}
	return cel.Compile(e.text, strings.Fields(e.variables)...)
}

// Bounds of the expressions of one Receiver, all of which are compiled when it is
// reconciled.
const (
	maxExpressions     = 100
	maxExpressionBytes = 32 << 10
)

// checkExpressions refuses a Receiver with more expressions than a worker should compile.
func checkExpressions(receiver *notificationv1.Receiver) error {
	count, length := 0, 0
	add := func(text string) {
		if text != "" {
			count, length = count+1, length+len(text)
		}
	}
	add(receiver.Spec.ResourceFilter)
	for _, resource := range receiver.Spec.Resources {
		add(resource.Filter)
	}
	for _, p := range receiver.Spec.OIDCProviders {
		for _, v := range p.Variables {
			add(v.Expression)
		}
		for _, v := range p.Validations {
			add(v.Expression)
		}
	}
	if count > maxExpressions || length > maxExpressionBytes {
		return fmt.Errorf("%w: the receiver has %d expressions of %d bytes in all; at most %d of %d bytes are compiled: split it into several",
			ErrExpression, count, length, maxExpressions, maxExpressionBytes)
	}
	return nil
}

// maxPrograms bounds the cache, whose programs may belong to deleted Receivers: those
// that were used longest ago go first.
const maxPrograms = 1000

// maxEvaluations is how many expressions are compiled or evaluated at once: requests
// share the processors with the controllers.
const maxEvaluations = 2

// evaluationTime is for one expression. The steps that it may take end it before,
// unless the machine is very busy.
const evaluationTime = 5 * time.Second

// programs caches compiled expressions: compiling takes longer than all the rest of a
// request. One expression of a namespace is compiled or evaluated at a time, so that a
// namespace with expensive expressions delays only itself.
type programs struct {
	known *lru.Cache[programKey, *cel.Program]
	slots *background.Slots[string]
}

// programKey is an expression of a namespace. Namespaces do not share programs, since one
// that is being evaluated is in use.
type programKey struct {
	namespace string
	expression
}

func newPrograms() *programs {
	return &programs{known: lru.NewCounted[programKey, *cel.Program](maxPrograms), slots: background.NewSlots[string](maxEvaluations, 1)}
}

func (p *programs) get(ctx context.Context, namespace string, e expression) (*program, error) {
	key := programKey{namespace, e}
	known, ok := p.known.Get(key)
	if !ok {
		var err error
		if known, err = p.compile(ctx, key); err != nil {
			return nil, err
		}
	}
	return &program{known, namespace, p.slots}, nil
}

func (p *programs) compile(ctx context.Context, key programKey) (*cel.Program, error) {
	if err := p.slots.Acquire(ctx, key.namespace); err != nil {
		return nil, fmt.Errorf("%w: %w", errBusy, err)
	}
	defer p.slots.Release(key.namespace)
	compiled, err := key.compile()
	if err != nil {
		return nil, err
	}
	p.known.Put(key, compiled)
	return compiled, nil
}

// program is an expression of a Receiver, ready to be evaluated.
type program struct {
	*cel.Program
	namespace string
	slots     *background.Slots[string]
}

// errBusy means that an expression had no slot in time.
var errBusy = errors.New("too many expressions are being evaluated")

func (p *program) value(ctx context.Context, data map[string]any) (any, error) {
	if err := p.slots.Acquire(ctx, p.namespace); err != nil {
		return nil, fmt.Errorf("%w: %w", errBusy, err)
	}
	defer p.slots.Release(p.namespace)
	ctx, cancel := context.WithTimeout(ctx, evaluationTime)
	defer cancel()
	return p.Evaluate(ctx, data)
}

func (p *program) passes(ctx context.Context, data map[string]any) (bool, error) {
	value, err := p.value(ctx, data)
	if err != nil {
		return false, err
	}
	return value == true, nil // it was compiled as a condition
}
