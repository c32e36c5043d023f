package policy

import (
	"math/bits"
	"regexp/syntax"
	"strings"
)

// walk matches the most usual patterns, whole tags without choices, byte by byte:
//
//	^main-[a-f0-9]+-(?P<ts>[0-9]+)$   ->   m a i n - [a-f0-9]{1,} - ( [0-9]{1,} )
//
// Each step takes as many bytes of a set as it may. That is a match of the pattern,
// and the only one, because a step of no fixed length is never followed by a byte
// that it could take itself; a pattern in which one is has no walk. A text that is
// not ASCII has none either.
type walk struct {
	prefix string // what each match starts with
	steps  []step // after the prefix
	// from and to are the steps between which the wanted group is.
	from, to int
}

// step takes between least and most bytes of a set.
type step struct {
	set         asciiSet
	least, most int
}

// endless is most of a step that takes whatever comes.
const endless = 1 << 30

// asciiSet has a bit for each byte, and never one of those that are not ASCII.
type asciiSet [4]uint64

func (s *asciiSet) add(c byte)      { s[c/64] |= 1 << (c % 64) }
func (s *asciiSet) has(c byte) bool { return s[c/64]&(1<<(c%64)) != 0 }

func (s *asciiSet) meets(t *asciiSet) bool { return s[0]&t[0] != 0 || s[1]&t[1] != 0 }

// only returns the byte of a set of one.
func (s *asciiSet) only() (byte, bool) {
	if bits.OnesCount64(s[0])+bits.OnesCount64(s[1]) != 1 {
		return 0, false
	}
	if s[0] != 0 {
		return byte(bits.TrailingZeros64(s[0])), true
	}
	return byte(64 + bits.TrailingZeros64(s[1])), true
}

// compileWalk returns nil if the pattern has no walk, or not the group that is
// the whole template; an empty template wants none.
func compileWalk(pattern, template string) *walk {
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil || tree.Op != syntax.OpConcat || len(tree.Sub) < 2 {
		return nil
	}
	last := len(tree.Sub) - 1
	if tree.Sub[0].Op != syntax.OpBeginText || tree.Sub[last].Op != syntax.OpEndText {
		return nil
	}
	w := &walk{from: -1, to: -1}
	for _, part := range tree.Sub[1:last] {
		if !w.plan(part, template) {
			return nil
		}
	}
	if w.from < 0 && template != "" || !w.certain() {
		return nil
	}
	w.shorten()
	return w
}

// shorten makes a prefix of the first steps, as far as they are single bytes and
// before the group.
func (w *walk) shorten() {
	n := 0
	for ; n < len(w.steps) && (w.from < 0 || n < w.from); n++ {
		s := &w.steps[n]
		c, single := s.set.only()
		if !single || s.least != 1 || s.most != 1 {
			break
		}
		w.prefix += string(rune(c))
	}
	w.steps = w.steps[n:]
	if w.from >= 0 {
		w.from, w.to = w.from-n, w.to-n
	}
}

// plan adds the steps of a part.
func (w *walk) plan(part *syntax.Regexp, template string) bool {
	switch part.Op {
	case syntax.OpConcat, syntax.OpCapture:
		start := len(w.steps)
		for _, inner := range part.Sub {
			if !w.plan(inner, template) {
				return false
			}
		}
		if part.Op == syntax.OpCapture && takes(template, part) {
			w.from, w.to = start, len(w.steps)
		}
		return true
	case syntax.OpEmptyMatch:
		return true
	case syntax.OpLiteral:
		for _, r := range part.Rune {
			if !w.once(&syntax.Regexp{Op: syntax.OpLiteral, Rune: []rune{r}, Flags: part.Flags}, 1, 1) {
				return false
			}
		}
		return true
	case syntax.OpStar:
		return w.once(part.Sub[0], 0, endless)
	case syntax.OpPlus:
		return w.once(part.Sub[0], 1, endless)
	case syntax.OpQuest:
		return w.once(part.Sub[0], 0, 1)
	case syntax.OpRepeat:
		most := part.Max
		if most < 0 {
			most = endless
		}
		return w.once(part.Sub[0], part.Min, most)
	}
	return w.once(part, 1, 1)
}

// once adds a step, if one is what matches a single byte.
func (w *walk) once(one *syntax.Regexp, least, most int) bool {
	s := step{least: least, most: most}
	switch one.Op {
	case syntax.OpLiteral:
		if len(one.Rune) != 1 || one.Rune[0] >= 0x80 {
			return false
		}
		c := byte(one.Rune[0])
		s.set.add(c)
		if one.Flags&syntax.FoldCase != 0 && (c|0x20) >= 'a' && (c|0x20) <= 'z' {
			s.set.add(c ^ 0x20)
		}
	case syntax.OpCharClass:
		for i := 0; i < len(one.Rune); i += 2 {
			for r := one.Rune[i]; r <= min(one.Rune[i+1], 0x7f); r++ {
				s.set.add(byte(r))
			}
		}
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		s.set = asciiSet{^uint64(0), ^uint64(0), 0, 0}
		if one.Op == syntax.OpAnyCharNotNL {
			s.set[0] &^= 1 << '\n'
		}
	default:
		return false
	}
	w.steps = append(w.steps, s)
	return true
}

// certain reports whether there is never more than one way.
func (w *walk) certain() bool {
	for i, s := range w.steps {
		if s.least == s.most {
			continue
		}
		for _, next := range w.steps[i+1:] {
			if s.set.meets(&next.set) {
				return false
			}
			if next.least > 0 {
				break
			}
		}
	}
	return true
}

// text returns the wanted group of tag, or tag itself, if the pattern matches.
// Known is false if only the pattern can tell.
func (w *walk) text(tag string) (text string, matches, known bool) {
	if !strings.HasPrefix(tag, w.prefix) {
		return "", false, true
	}
	at, from, to := len(w.prefix), 0, len(tag)
	for i := range w.steps {
		if i == w.from {
			from = at
		}
		if i == w.to {
			to = at
		}
		end, known := w.steps[i].take(tag, at)
		if !known || end < 0 {
			return "", false, known
		}
		at = end
	}
	if w.from == len(w.steps) {
		from = at
	}
	if w.to == len(w.steps) {
		to = at
	}
	if at < len(tag) {
		return "", false, true
	}
	return tag[from:to], true, true
}

// take returns where the step ends that starts at a place, or -1.
func (s *step) take(tag string, at int) (end int, known bool) {
	for end = at; end < len(tag) && end-at < s.most; end++ {
		if c := tag[end]; !s.set.has(c) {
			if c >= 0x80 {
				return 0, false
			}
			break
		}
	}
	if end-at < s.least {
		return -1, true
	}
	return end, true
}
