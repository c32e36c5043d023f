// SPDX-License-Identifier: Apache-2.0

package template

import (
	"fmt"
	"reflect"
	"text/template"
)

// What things cost, and how deep they may nest.
const (
	costOfNode = 16
	costOfCall = 64
	costOfItem = 16
	maxNested  = 64 // values in values, and templates in templates
)

// meter is what one run has left.
type meter struct {
	stopped func() error // says why there is no more time
	limits  Limits
	left    int64
	entered int   // templates that are being run
	failed  error // what ended the run
}

func (m *meter) fail(err error) error {
	if m.failed == nil {
		m.failed = err
	}
	return m.failed
}

// spend pays for work, before it is done.
func (m *meter) spend(cost int64) error {
	if cost < 0 || cost > m.left {
		return m.fail(fmt.Errorf("%w: it loops too often, or makes too much of its values", ErrBudget))
	}
	m.left -= cost
	if err := m.stopped(); err != nil {
		return m.fail(err)
	}
	return nil
}

// functions are those that a template calls, each made to pay.
func (m *meter) functions(of template.FuncMap) template.FuncMap {
	metered := template.FuncMap{
		turn:  func(nodes int64) (string, error) { return "", m.spend(costOfCall + nodes*costOfNode) },
		enter: m.enter,
		leave: func() string { m.entered--; return "" },
		whole: func(v any) (any, error) { return v, m.spendValue(reflect.ValueOf(v)) },
	}
	for name, f := range of {
		metered[name] = m.metered(name, reflect.ValueOf(f))
	}
	return metered
}

func (m *meter) enter(nodes int64) (string, error) {
	if m.entered++; m.entered > maxNested {
		return "", m.fail(fmt.Errorf("%w: its templates call one another more than %d deep", ErrBudget, maxNested))
	}
	return "", m.spend(costOfCall + nodes*costOfNode)
}

// errorType is the second result that a function of a template may have.
var errorType = reflect.TypeFor[error]()

// metered is a function with the same parameters that pays for itself.
func (m *meter) metered(name string, f reflect.Value) any {
	var in []reflect.Type
	for i := range f.Type().NumIn() {
		in = append(in, f.Type().In(i))
	}
	is := reflect.FuncOf(in, []reflect.Type{f.Type().Out(0), errorType}, f.Type().IsVariadic())
	return reflect.MakeFunc(is, func(args []reflect.Value) []reflect.Value {
		result, err := m.call(name, f, args)
		return []reflect.Value{result, reflect.ValueOf(&err).Elem()}
	}).Interface()
}

func (m *meter) call(name string, f reflect.Value, args []reflect.Value) (reflect.Value, error) {
	none := reflect.Zero(f.Type().Out(0))
	given := arguments(args)
	if f.Type().IsVariadic() {
		given = spread(args)
	}
	if err := m.payCall(name, given); err != nil {
		return none, err
	}
	call := f.Call
	if f.Type().IsVariadic() {
		call = f.CallSlice
	}
	results := call(args)
	if len(results) == 2 && !results[1].IsNil() {
		return none, results[1].Interface().(error)
	}
	return results[0], m.spendValue(results[0])
}

// payCall pays for the arguments of a call, and for what it will do with them if
// that is not some small multiple of their size.
func (m *meter) payCall(name string, args arguments) error {
	if err := m.spend(costOfCall); err != nil {
		return err
	}
	for _, arg := range args {
		if err := m.spendValue(arg); err != nil {
			return err
		}
	}
	cost, known := costs[name]
	if !known {
		return nil
	}
	if amount := cost(args); amount <= float64(m.left) {
		return m.spend(int64(amount))
	}
	return m.spend(m.left + 1)
}

// spread puts the arguments of a variadic call in a row.
func spread(args []reflect.Value) arguments {
	last := len(args) - 1
	all := append(arguments{}, args[:last]...)
	for i := range args[last].Len() {
		all = append(all, args[last].Index(i))
	}
	return all
}

// spendValue spends the size of a value.
func (m *meter) spendValue(v reflect.Value) error {
	size := &size{left: min(m.limits.Value, m.left)}
	switch {
	case size.add(v, 0):
		return m.spend(min(m.limits.Value, m.left) - size.left)
	case size.deep:
		return m.fail(fmt.Errorf("%w: a value in it nests more than %d deep", ErrBudget, maxNested))
	case m.left < m.limits.Value:
		return m.spend(m.left + 1)
	}
	return m.fail(fmt.Errorf("%w: a value in it is larger than %d bytes", ErrBudget, m.limits.Value))
}

// size measures a value, by all ways that lead to its parts: that is what printing
// it would cost.
type size struct {
	left int64
	deep bool
}

// add is false when the value is too large, or too deep, as one is that contains
// itself.
func (s *size) add(v reflect.Value, depth int) bool {
	if s.left -= costOfItem; s.left < 0 {
		return false
	}
	if s.deep = depth > maxNested; s.deep {
		return false
	}
	switch v.Kind() {
	case reflect.String:
		s.left -= int64(v.Len())
	case reflect.Interface, reflect.Pointer:
		return v.IsNil() || s.add(v.Elem(), depth+1)
	case reflect.Slice, reflect.Array:
		return s.items(v, depth)
	case reflect.Map:
		for each := v.MapRange(); each.Next(); {
			if !s.add(each.Key(), depth+1) || !s.add(each.Value(), depth+1) {
				return false
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if !s.add(v.Field(i), depth+1) {
				return false
			}
		}
	}
	return s.left >= 0
}

func (s *size) items(v reflect.Value, depth int) bool {
	if v.Type().Elem().Kind() <= reflect.Complex128 { // numbers
		s.left -= int64(v.Len()) * costOfItem
		return s.left >= 0
	}
	for i := range v.Len() {
		if !s.add(v.Index(i), depth+1) {
			return false
		}
	}
	return true
}
