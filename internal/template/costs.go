// SPDX-License-Identifier: Apache-2.0

package template

import (
	"math"
	"reflect"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of what functions that have no better measure take.
const (
	maxNumber  = math.MaxInt32 // of a sequence: beyond it adding a step may overflow
	maxWidth   = 1024          // of a printed field
	maxPattern = 1024          // bytes of a regular expression
)

// What parts of a text cost that become values of their own, and each byte that may be
// escaped: what is made on the way counts, too, such as lists that grow.
const (
	costOfPart    = 8 * costOfItem
	costOfEncoded = 32
	costOfEscaped = 16
)

// arguments are what a function is called with.
type arguments []reflect.Value

// costs say how much work a call is besides what its arguments are: its result,
// before it is made, or the time that it takes. They are floats, which do not
// overflow.
var costs = map[string]func(arguments) float64{
	"repeat":   func(a arguments) float64 { return a.number(0) * a.length(1) },
	"indent":   func(a arguments) float64 { return a.number(0) * (a.count(1, "\n") + 1) },
	"nindent":  func(a arguments) float64 { return a.number(0) * (a.count(1, "\n") + 1) },
	"replace":  func(a arguments) float64 { return a.length(1) * a.count(2, a.text(0)) },
	"join":     func(a arguments) float64 { return a.length(0) * a.items(1) },
	"wrapWith": func(a arguments) float64 { return a.length(2) * (a.length(1) + 1) },
	"trimAll":  func(a arguments) float64 { return a.length(0) * a.length(1) / 16 },
	"trimall":  func(a arguments) float64 { return a.length(0) * a.length(1) / 16 },
	"printf":   func(a arguments) float64 { return a.formatted() },

	"split":     func(a arguments) float64 { return costOfPart * a.count(1, a.text(0)) },
	"splitList": func(a arguments) float64 { return costOfItem * a.count(1, a.text(0)) },
	"splitn":    func(a arguments) float64 { return costOfItem * a.length(2) },

	"fromJson":         func(a arguments) float64 { return a.decoded() },
	"mustFromJson":     func(a arguments) float64 { return a.decoded() },
	"toJson":           func(a arguments) float64 { return costOfEncoded * a.size(0) },
	"mustToJson":       func(a arguments) float64 { return costOfEncoded * a.size(0) },
	"toPrettyJson":     func(a arguments) float64 { return costOfEncoded * a.size(0) },
	"mustToPrettyJson": func(a arguments) float64 { return costOfEncoded * a.size(0) },
	"toRawJson":        func(a arguments) float64 { return costOfEncoded * a.size(0) },
	"mustToRawJson":    func(a arguments) float64 { return costOfEncoded * a.size(0) },
	"js":               func(a arguments) float64 { return costOfEscaped * a.sizes() },
	"html":             func(a arguments) float64 { return costOfEscaped * a.sizes() },
	"quote":            func(a arguments) float64 { return costOfEscaped * a.sizes() },

	"until":     func(a arguments) float64 { return a.sequence(0, a.number(0), 1) },
	"untilStep": func(a arguments) float64 { return a.sequence(a.signed(0), a.signed(1), a.signed(2)) },
	"seq":       func(a arguments) float64 { return a.seq() },
	"chunk":     func(a arguments) float64 { return a.chunks() },
	"mustChunk": func(a arguments) float64 { return a.chunks() },

	"uniq":        func(a arguments) float64 { return a.items(0) * a.size(0) },
	"mustUniq":    func(a arguments) float64 { return a.items(0) * a.size(0) },
	"without":     func(a arguments) float64 { return a.size(0) * float64(len(a)) },
	"mustWithout": func(a arguments) float64 { return a.size(0) * float64(len(a)) },

	"semverCompare": func(a arguments) float64 { return costOfItem * a.length(0) },

	"regexMatch":                 func(a arguments) float64 { return a.matching() },
	"mustRegexMatch":             func(a arguments) float64 { return a.matching() },
	"regexFind":                  func(a arguments) float64 { return a.matching() },
	"mustRegexFind":              func(a arguments) float64 { return a.matching() },
	"regexFindAll":               func(a arguments) float64 { return a.repeated() + costOfPart*a.length(1) },
	"mustRegexFindAll":           func(a arguments) float64 { return a.repeated() + costOfPart*a.length(1) },
	"regexSplit":                 func(a arguments) float64 { return a.repeated() + costOfPart*a.length(1) },
	"mustRegexSplit":             func(a arguments) float64 { return a.repeated() + costOfPart*a.length(1) },
	"regexReplaceAll":            func(a arguments) float64 { return a.replacing() },
	"mustRegexReplaceAll":        func(a arguments) float64 { return a.replacing() },
	"regexReplaceAllLiteral":     func(a arguments) float64 { return a.replacing() },
	"mustRegexReplaceAllLiteral": func(a arguments) float64 { return a.replacing() },
}

// value is an argument without the interfaces around it. It may be invalid.
func (a arguments) value(i int) reflect.Value {
	if i >= len(a) {
		return reflect.Value{}
	}
	v := a[i]
	for v.Kind() == reflect.Interface || v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	return v
}

func (a arguments) text(i int) string {
	if v := a.value(i); v.Kind() == reflect.String {
		return v.String()
	}
	return ""
}

func (a arguments) length(i int) float64 { return float64(len(a.text(i))) }

// count is how often a text occurs in an argument; of an empty one, how often there
// is room for it.
func (a arguments) count(i int, text string) float64 {
	return float64(strings.Count(a.text(i), text)) + 1
}

// items is how many elements an argument has, one if it is no list.
func (a arguments) items(i int) float64 {
	switch v := a.value(i); v.Kind() {
	case reflect.Slice, reflect.Array, reflect.Map:
		return float64(v.Len())
	}
	return 1
}

// size is that of an argument as [meter.pay] counts it. It was paid already, so that
// it is bounded.
func (a arguments) size(i int) float64 {
	of := &size{left: math.MaxInt32}
	of.add(a[i], 0)
	return float64(math.MaxInt32 - of.left)
}

// sizes are those of all arguments.
func (a arguments) sizes() (all float64) {
	for i := range a {
		all += a.size(i)
	}
	return all
}

// decoded is the cost of the values in a text of JSON.
func (a arguments) decoded() (cost float64) {
	for _, part := range []string{",", ":", "{", "["} {
		cost += costOfPart * a.count(0, part)
	}
	return cost
}

// signed is a number, which sprig also reads from a text.
func (a arguments) signed(i int) float64 {
	switch v := a.value(i); {
	case v.CanInt():
		return float64(v.Int())
	case v.CanUint():
		return float64(v.Uint())
	case v.CanFloat():
		return v.Float()
	case v.Kind() == reflect.String:
		n, _ := strconv.ParseFloat(v.String(), 64)
		return n
	}
	return 0
}

// number is one that means the same with a minus.
func (a arguments) number(i int) float64 { return math.Abs(a.signed(i)) }

// sequence is the cost of the numbers from one to another.
func (a arguments) sequence(from, to, step float64) float64 {
	if max(math.Abs(from), math.Abs(to), math.Abs(step)) > maxNumber {
		return math.Inf(1)
	}
	return 2 * costOfItem * (math.Abs(to-from)/max(1, math.Abs(step)) + 1)
}

func (a arguments) seq() float64 {
	switch len(a) {
	case 1:
		return a.sequence(1, a.signed(0), 1)
	case 2:
		return a.sequence(a.signed(0), a.signed(1), 1)
	case 3:
		return a.sequence(a.signed(0), a.signed(2), a.signed(1))
	}
	return 0
}

// chunks have no number where the size of one is zero.
func (a arguments) chunks() float64 {
	if a.signed(0) < 1 {
		return math.Inf(1)
	}
	return costOfItem * a.items(1)
}

// verb is one of a format: how wide, how precise, of which argument, and what.
var verb = regexp.MustCompile(`%[-+# 0]*(\[\d*\])?(\*|\d*)(?:\.(?:\[\d*\])?(\*|\d*))?(\[\d*\])?(.?)`)

// formatted is the cost of the text that a format makes. A format may use the same
// argument many times, and a field is as wide for each element of a list.
func (a arguments) formatted() float64 {
	largest := 0.0
	for i := 1; i < len(a); i++ {
		largest = max(largest, a.size(i))
	}
	cost := 0.0
	for _, found := range verb.FindAllStringSubmatch(a.text(0), -1) {
		for _, width := range found[2:4] {
			n, _ := strconv.ParseFloat(width, 64)
			if width == "*" {
				n = a.widest()
			}
			if n > maxWidth {
				return math.Inf(1)
			}
			cost += n * largest / costOfItem
		}
		switch found[5] {
		case "s", "v", "d":
			cost += largest + maxWidth
		default:
			cost += costOfItem*largest + maxWidth // %x, %q and %#v write more than there is
		}
	}
	return cost
}

// widest is the largest number among the arguments, which a format may take for a
// width.
func (a arguments) widest() float64 {
	widest := 0.0
	for i := 1; i < len(a); i++ {
		if v := a.value(i); v.CanInt() || v.CanUint() {
			widest = max(widest, a.number(i))
		}
	}
	return widest
}

// matching is the cost of compiling a regular expression and of running it on the
// argument after it: each of its instructions may be tried at each byte.
func (a arguments) matching() float64 {
	instructions, _ := a.expression()
	return instructions*costOfItem + instructions*a.length(1)/8
}

// repeated is the cost of all matches. To find one, the engine may look ahead as far as
// the expression reaches, and begin there again after a match that is shorter: that of
// "a*b|a" is one letter of many.
func (a arguments) repeated() float64 {
	instructions, reach := a.expression()
	return a.matching() + instructions*a.length(1)*min(reach, a.length(1))/64
}

// expression is how many instructions a regular expression has, and how many bytes it
// may look at for one match. One that will not be run has none.
func (a arguments) expression() (instructions, reach float64) {
	pattern := a.text(0)
	if len(pattern) > maxPattern {
		return math.Inf(1), math.Inf(1)
	}
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return 0, 0
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return 0, 0
	}
	instructions = float64(len(program.Inst))
	if endless(parsed) {
		return instructions, math.Inf(1)
	}
	return instructions, instructions * utf8.UTFMax
}

// endless reports whether an expression matches texts of any length.
func endless(expression *syntax.Regexp) bool {
	switch {
	case expression.Op == syntax.OpStar, expression.Op == syntax.OpPlus, expression.Op == syntax.OpRepeat && expression.Max < 0:
		return true
	}
	return slices.ContainsFunc(expression.Sub, endless)
}

// replacing may write the replacement at each byte, and with it the text that it
// stands for.
func (a arguments) replacing() float64 {
	return a.repeated() + (a.length(1)+1)*(a.length(2)+1)
}
