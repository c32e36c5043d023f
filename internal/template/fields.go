// SPDX-License-Identifier: Apache-2.0

package template

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"text/template/parse"
)

// knownValue is what is known of a value before a template runs: its type, and the value itself
// where [Language.Data] has one. The zero value is of one about which nothing is known, such
// as the result of a function.
type knownValue struct {
	typ   reflect.Type
	value reflect.Value
}

// knownValueOf follows pointers and interfaces as far as there is a value.
func knownValueOf(is reflect.Type, value reflect.Value) knownValue {
	for is != nil && (is.Kind() == reflect.Pointer || is.Kind() == reflect.Interface) {
		switch {
		case value.IsValid() && !value.IsNil():
			value = value.Elem()
			is = value.Type()
		case is.Kind() == reflect.Interface:
			return knownValue{}
		default:
			is, value = is.Elem(), reflect.Value{}
		}
	}
	return knownValue{typ: is, value: value}
}

// fieldChecker looks for fields that values do not have, in all branches of a template:
// running it would find them in those alone that are taken.
//
//	{{ .Bundel }}                             dot is the data, which has no such field
//	{{ with .Bundle }}{{ .Id }}{{ end }}      dot is the bundle
//	{{ range $c := .Changes }}{{ $c.To }}     $c is a change
//	{{ (first .Changes).From }}               nothing is known of what a function returns
type fieldChecker struct {
	tree      *parse.Tree
	text      string // of the tree
	trees     func(name string) *parse.Tree
	strict    bool // keys of maps have to be there, too
	variables []variable
	checked   map[string]bool
}

type variable struct {
	name string
	knownValue
}

// unknownField refuses the first field of a tree that dot does not have.
type unknownField struct {
	place, field string
	kind         string   // of the value
	fields       []string // that it has
}

func (u *unknownField) Error() string {
	if len(u.fields) == 0 {
		return fmt.Sprintf("%s: there is no field .%s here: this is a value of kind %s", u.place, u.field, u.kind)
	}
	return fmt.Sprintf("%s: there is no field .%s here: there are %s", u.place, u.field, strings.Join(u.fields, ", "))
}

// template checks a tree with a dot, once for each type of it.
func (c fieldChecker) template(tree *parse.Tree, dot knownValue) error {
	key := fmt.Sprint(tree.Name, " ", dot.typ)
	if tree.Root == nil || c.checked[key] {
		return nil
	}
	c.checked[key] = true
	c.tree, c.text, c.variables = tree, tree.Root.String(), []variable{{"$", dot}}
	return c.list(tree.Root, dot)
}

func (c *fieldChecker) list(l *parse.ListNode, dot knownValue) error {
	if l == nil {
		return nil
	}
	for _, n := range l.Nodes {
		if err := c.node(n, dot); err != nil {
			return err
		}
	}
	return nil
}

func (c *fieldChecker) node(n parse.Node, dot knownValue) error {
	switch n := n.(type) {
	case *parse.ActionNode:
		_, err := c.declaring(n.Pipe, dot)
		return err
	case *parse.IfNode:
		return c.branch(&n.BranchNode, dot, func(knownValue) knownValue { return dot })
	case *parse.WithNode:
		return c.branch(&n.BranchNode, dot, func(of knownValue) knownValue { return of })
	case *parse.RangeNode:
		return c.loop(n, dot)
	case *parse.TemplateNode:
		of := knownValue{}
		if n.Pipe != nil {
			var err error
			if of, err = c.pipe(n.Pipe, dot); err != nil {
				return err
			}
		}
		if called := c.trees(n.Name); called != nil {
			return fieldChecker{trees: c.trees, strict: c.strict, checked: c.checked}.template(called, of)
		}
	}
	return nil
}

// branch checks both ways; inside is dot in the first of them.
func (c *fieldChecker) branch(n *parse.BranchNode, dot knownValue, inside func(knownValue) knownValue) error {
	mark := len(c.variables)
	defer func() { c.variables = c.variables[:mark] }()
	of, err := c.declaring(n.Pipe, dot)
	if err != nil {
		return err
	}
	declared := len(c.variables)
	if err := c.list(n.List, inside(of)); err != nil {
		return err
	}
	c.variables = c.variables[:declared] // the other way knows nothing of what this one declared
	return c.list(n.ElseList, dot)
}

func (c *fieldChecker) loop(n *parse.RangeNode, dot knownValue) error {
	mark := len(c.variables)
	defer func() { c.variables = c.variables[:mark] }()
	of, err := c.pipe(n.Pipe, dot)
	if err != nil {
		return err
	}
	each := element(of)
	if declared := n.Pipe.Decl; len(declared) > 0 && !n.Pipe.IsAssign {
		if len(declared) > 1 {
			c.declare(declared[0], knownValue{}) // an index or a key
		}
		c.declare(declared[len(declared)-1], each)
	}
	if err := c.list(n.List, each); err != nil {
		return err
	}
	return c.list(n.ElseList, dot)
}

// element is what a loop goes over. What a map or a list has as an example is not what it
// has always.
func element(of knownValue) knownValue {
	if of.typ == nil {
		return knownValue{}
	}
	switch of.typ.Kind() {
	case reflect.Slice, reflect.Array, reflect.Map:
		return knownValueOf(of.typ.Elem(), reflect.Value{})
	}
	return knownValue{}
}

// declare makes a variable known, unless it is given other values later on.
func (c *fieldChecker) declare(v *parse.VariableNode, of knownValue) {
	name := v.Ident[0]
	if strings.Contains(c.text, name+" = ") || strings.Contains(c.text, name+", $") {
		of = knownValue{}
	}
	c.variables = append(c.variables, variable{name, of})
}

// declaring is the value of a pipeline, which the variables in front of it get.
func (c *fieldChecker) declaring(p *parse.PipeNode, dot knownValue) (knownValue, error) {
	of, err := c.pipe(p, dot)
	if err == nil && p != nil && !p.IsAssign {
		for _, v := range p.Decl {
			c.declare(v, of)
		}
	}
	return of, err
}

func (c *fieldChecker) pipe(p *parse.PipeNode, dot knownValue) (knownValue, error) {
	result := knownValue{}
	if p == nil {
		return result, nil
	}
	for _, command := range p.Cmds {
		for i, arg := range command.Args {
			of, err := c.argument(arg, dot)
			if err != nil {
				return knownValue{}, err
			}
			if i == 0 {
				result = of
			}
		}
	}
	return result, nil
}

// argument is what is known of one word of a command.
func (c *fieldChecker) argument(n parse.Node, dot knownValue) (knownValue, error) {
	switch n := n.(type) {
	case *parse.DotNode:
		return dot, nil
	case *parse.FieldNode:
		return c.fields(n, dot, n.Ident)
	case *parse.VariableNode:
		return c.fields(n, c.variable(n.Ident[0]), n.Ident[1:])
	case *parse.PipeNode:
		return c.pipe(n, dot)
	case *parse.ChainNode:
		of, err := c.argument(n.Node, dot)
		if err != nil {
			return knownValue{}, err
		}
		return c.fields(n, of, n.Field)
	}
	return knownValue{}, nil // a function, or a constant
}

func (c *fieldChecker) variable(name string) knownValue {
	for _, v := range slices.Backward(c.variables) {
		if v.name == name {
			return v.knownValue
		}
	}
	return knownValue{}
}

// fields follows names from a value.
func (c *fieldChecker) fields(n parse.Node, of knownValue, names []string) (knownValue, error) {
	for _, name := range names {
		next, has := of.field(name, c.strict)
		if !has {
			place, _ := c.tree.ErrorContext(n)
			kind, fields := of.describe()
			return knownValue{}, &unknownField{place: place, field: name, kind: kind, fields: fields}
		}
		of = next
	}
	return of, nil
}

// field is one of a value, or what its method of that name returns. It reports false if there
// is neither.
func (k knownValue) field(name string, strict bool) (knownValue, bool) {
	if k.typ == nil {
		return knownValue{}, true
	}
	if _, method := reflect.PointerTo(k.typ).MethodByName(name); method {
		return knownValue{}, true
	}
	switch k.typ.Kind() {
	case reflect.Struct:
		field, has := k.typ.FieldByName(name)
		if !has || !field.IsExported() {
			return knownValue{}, false
		}
		value := reflect.Value{}
		if k.value.IsValid() && len(field.Index) == 1 {
			value = k.value.Field(field.Index[0])
		}
		return knownValueOf(field.Type, value), true
	case reflect.Map:
		if k.typ.Key().Kind() != reflect.String {
			return knownValue{}, false
		}
		has := !strict || !k.value.IsValid() || k.value.IsNil() || k.value.MapIndex(reflect.ValueOf(name).Convert(k.typ.Key())).IsValid()
		return knownValueOf(k.typ.Elem(), reflect.Value{}), has
	}
	return knownValue{}, false
}

// describe says of which kind a value is, and which fields it has.
func (k knownValue) describe() (kind string, fields []string) {
	switch {
	case k.typ.Kind() == reflect.Struct:
		for _, field := range reflect.VisibleFields(k.typ) {
			if field.IsExported() && !field.Anonymous {
				fields = append(fields, "."+field.Name)
			}
		}
	case k.typ.Kind() == reflect.Map && k.value.IsValid():
		for _, key := range k.value.MapKeys() {
			fields = append(fields, "."+key.String())
		}
		slices.Sort(fields)
	}
	return k.typ.Kind().String(), fields
}
