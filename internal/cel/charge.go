// SPDX-License-Identifier: Apache-2.0

package cel

import (
	"fmt"
	"regexp/syntax"
	"strings"

	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
)

// charsPerStep is how many bytes of a text are as much work as a step: calls turn
// texts into runes and back.
const charsPerStep = 4

// Bounds of calls that work on pairs: a pattern with a text, a part with a whole.
const (
	pairsPerStep = 16
	// maxRegexp is the longest regular expression in bytes, and maxStates what it may
	// compile to.
	maxRegexp = 1 << 10
	maxStates = 10_000
	// maxPieces is how many parts a text may be split into.
	maxPieces = 100_000
	// perClause is the longest that a number becomes when it is formatted.
	perClause = 512
)

// charge spends what a call will take, before it is made.
func (m *meter) charge(function string, args []ref.Val) {
	if rule, ok := rules[function]; ok && len(args) > 1 {
		rule(m, args)
		return
	}
	if function == "join" || function == "json.encode" {
		m.makes(2 * m.weigh(args[0]) * charsPerStep)
		return
	}
	for _, arg := range args {
		switch arg.(type) {
		case types.String, types.Bytes:
			m.makes(size(arg))
		}
	}
}

// rules are those of functions whose work is not in proportion to their texts.
var rules = map[string]func(*meter, []ref.Val){
	operators.Equals:    (*meter).compare,
	operators.NotEquals: (*meter).compare,
	operators.In:        (*meter).contained,
	operators.OldIn:     (*meter).contained,
	operators.Add:       (*meter).add,
	"sets.contains":     (*meter).sets,
	"sets.equivalent":   (*meter).sets,
	"sets.intersects":   (*meter).sets,
	"replace":           (*meter).replace,
	"join":              (*meter).join,
	"format":            (*meter).format,
	"split":             (*meter).split,
	"indexOf":           (*meter).pairs,
	"lastIndexOf":       (*meter).pairs,
	"matches":           (*meter).matches,
}

// weigh walks through a value and all values in it, and spends a step on each. A value that is
// in it twice is counted twice, since what is done with the whole, such as comparing it, visits it twice.
func (m *meter) weigh(v ref.Val) int {
	weight := 1
	switch x := v.(type) {
	case types.String, types.Bytes:
		weight += size(v) / charsPerStep
		m.spend(weight)
	case traits.Lister:
		m.spend(1)
		for it := x.Iterator(); it.HasNext() == types.True; {
			weight += m.weigh(it.Next())
		}
	case traits.Mapper:
		m.spend(1)
		for it := x.Iterator(); it.HasNext() == types.True; {
			key := it.Next()
			weight += m.weigh(key) + m.weigh(x.Get(key))
		}
	case *types.Optional:
		m.spend(1)
		if x.HasValue() {
			weight += m.weigh(x.GetValue())
		}
	default:
		m.spend(1)
	}
	return weight
}

// inside reports whether there is something in a value to look at.
func inside(v ref.Val) bool {
	switch v.(type) {
	case traits.Lister, traits.Mapper, *types.Optional:
		return true
	}
	return false
}

func (m *meter) compare(args []ref.Val) {
	if inside(args[0]) && inside(args[1]) {
		m.weigh(args[0])
		m.weigh(args[1])
		return
	}
	m.spend(min(size(args[0]), size(args[1])) / charsPerStep)
}

func (m *meter) contained(args []ref.Val) {
	list, ok := args[1].(traits.Lister)
	switch {
	case !ok:
		m.spend(size(args[0]) / charsPerStep)
	case inside(args[0]):
		m.weigh(list)
	default:
		m.spend(size(list) * (1 + size(args[0])/charsPerStep))
	}
}

func (m *meter) sets(args []ref.Val) {
	// Each is below MaxSteps, so that the product is a number.
	m.spend(m.weigh(args[0]) * m.weigh(args[1]))
}

func (m *meter) add(args []ref.Val) {
	switch args[0].(type) {
	case types.String, types.Bytes:
		m.makes(size(args[0]) + size(args[1]))
	case traits.Lister:
		// Nothing is copied yet, but nobody could look through it either.
		if size(args[0])+size(args[1]) > m.most {
			m.abort(fmt.Errorf("%w: it makes a list of more than %d items", ErrTooExpensive, m.most))
		}
	}
}

func (m *meter) replace(args []ref.Val) {
	text, before, after := string(str(args[0])), string(str(args[1])), string(str(args[2]))
	m.makes(len(text))
	// An empty text is found between all letters.
	m.makes(len(text) + strings.Count(text, before)*len(after))
}

func (m *meter) join(args []ref.Val) {
	m.makes(m.weigh(args[0])*charsPerStep + size(args[0])*size(args[1]))
}

func (m *meter) format(args []ref.Val) {
	clauses := strings.Count(string(str(args[0])), "%")
	m.makes(size(args[0]) + 2*charsPerStep*m.weigh(args[1]) + perClause*clauses)
}

func (m *meter) split(args []ref.Val) {
	text, separator := string(str(args[0])), string(str(args[1]))
	m.makes(len(text))
	if strings.Count(text, separator) > maxPieces {
		m.abort(fmt.Errorf("%w: it splits a text into more than %d parts", ErrTooExpensive, maxPieces))
	}
}

func (m *meter) pairs(args []ref.Val) {
	m.makes(size(args[0]))
	m.spend(size(args[0]) / pairsPerStep * size(args[1]))
}

func (m *meter) matches(args []ref.Val) {
	pattern := string(str(args[1]))
	if len(pattern) > maxRegexp {
		m.abort(fmt.Errorf("%w: its regular expression is longer than %d bytes", ErrTooExpensive, maxRegexp))
	}
	m.spend(len(pattern))
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return // the call says what is wrong
	}
	compiled, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return
	}
	states := len(compiled.Inst)
	if states > maxStates {
		m.abort(fmt.Errorf("%w: its regular expression is too complicated", ErrTooExpensive))
	}
	m.spend(states)
	m.spend(size(args[0]) / pairsPerStep * states)
}

// str is the text of an argument; what is none fails in the call.
func str(v ref.Val) types.String {
	s, _ := v.(types.String)
	return s
}
