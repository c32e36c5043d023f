// SPDX-License-Identifier: Apache-2.0

package cel

import (
	"fmt"
	"math"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/interpreter"
)

// meter counts the steps of one evaluation at a time. A program has one, which is
// part of its plan.
type meter struct {
	stopped func() error // whether the evaluation under way must end
	most    int          // steps of an evaluation
	steps   int
	ended   error // why it was ended
	held    []*weighedValue
}

func (m *meter) start(stopped func() error) {
	m.stopped, m.steps, m.ended = stopped, 0, nil
	for _, h := range m.held { // of an evaluation that was ended within a call
		h.value = nil
	}
}

// stopCheckSteps is after how many steps it is asked whether to go on.
const stopCheckSteps = 256

// spend counts steps, and ends the evaluation when there were too many.
func (m *meter) spend(steps int) {
	before := m.steps / stopCheckSteps
	if m.steps += steps; steps < 0 || m.steps > m.most {
		m.abort(fmt.Errorf("%w: it takes more than %d steps", ErrTooExpensive, m.most))
	}
	if m.steps/stopCheckSteps == before {
		return
	}
	if err := m.stopped(); err != nil {
		m.abort(err)
	}
}

// makes ends the evaluation if a call would make too long a text.
func (m *meter) makes(length int) {
	if length < 0 || length > MaxText {
		m.abort(fmt.Errorf("%w: it makes a text of more than %d bytes", ErrTooExpensive, MaxText))
	}
	m.spend(length / charsPerStep)
}

// abort unwinds the evaluation to where the library takes it.
func (m *meter) abort(why error) {
	m.ended = why
	panic(interpreter.EvalCancelledError{Message: why.Error()})
}

// weighedValue is the value of an argument that was weighed, for the call that gets it.
type weighedValue struct{ value ref.Val }

// step is a node of the plan whose evaluations are counted.
type step struct {
	interpreter.InterpretableV2
	meter *meter
	*weighedValue
}

// Exec implements interpreter.InterpretableV2.
func (s *step) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	if s.weighedValue.value != nil {
		return s.weighedValue.value
	}
	s.meter.spend(1)
	return s.InterpretableV2.Exec(frame)
}

// Eval implements interpreter.Interpretable.
func (s *step) Eval(vars interpreter.Activation) ref.Val { return s.Exec(interpreter.AsFrame(vars)) }

// attribute is a step that the planner has to know as what it is.
type attribute struct {
	interpreter.InterpretableAttribute
	meter *meter
	*weighedValue
}

// Exec implements interpreter.InterpretableV2.
func (a *attribute) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	if a.weighedValue.value != nil {
		return a.weighedValue.value
	}
	a.meter.spend(1)
	return a.InterpretableAttribute.Exec(frame)
}

// Eval implements interpreter.Interpretable.
func (a *attribute) Eval(vars interpreter.Activation) ref.Val {
	return a.Exec(interpreter.AsFrame(vars))
}

// call evaluates its arguments, weighs them, and has the function called with them.
type call struct {
	interpreter.InterpretableCall
	meter   *meter
	args    []interpreter.InterpretableV2
	weighed []*weighedValue // of the arguments, nil for a constant
}

// Exec implements interpreter.InterpretableV2.
func (c *call) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	values := make([]ref.Val, len(c.args))
	for i, arg := range c.args {
		values[i] = arg.Exec(frame)
	}
	c.meter.charge(c.Function(), values)
	for i, h := range c.weighed {
		if h != nil {
			h.value = values[i]
		}
	}
	result := c.InterpretableCall.Exec(frame)
	for _, h := range c.weighed {
		if h != nil {
			h.value = nil
		}
	}
	return result
}

// decorate puts the meter around every node of a plan, from the leaves on.
func (m *meter) decorate(node interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	h := &weighedValue{}
	switch n := node.(type) {
	case *step, *attribute, interpreter.InterpretableConst:
		return node, nil
	case interpreter.InterpretableAttribute:
		m.held = append(m.held, h)
		return &attribute{n, m, h}, nil
	case interpreter.InterpretableCall:
		node = m.call(n)
	}
	m.held = append(m.held, h)
	return &step{node, m, h}, nil
}

func (m *meter) call(n interpreter.InterpretableCall) *call {
	c := &call{InterpretableCall: n, meter: m, args: n.Args()}
	for _, arg := range c.args {
		switch a := arg.(type) {
		case *step:
			c.weighed = append(c.weighed, a.weighedValue)
		case *attribute:
			c.weighed = append(c.weighed, a.weighedValue)
		default:
			c.weighed = append(c.weighed, nil)
		}
	}
	return c
}

// size is how much there is of a value, without looking inside.
func size(v ref.Val) int {
	switch x := v.(type) {
	case types.String:
		return len(x)
	case types.Bytes:
		return len(x)
	case traits.Sizer:
		// A list that was doubled often enough has more items than there are numbers.
		if n, ok := x.Size().(types.Int); ok && n >= 0 {
			return int(min(n, math.MaxInt32))
		}
		return math.MaxInt32
	}
	return 1
}
