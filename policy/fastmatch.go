// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"math/bits"
	"regexp/syntax"
	"strings"
)

// fastMatcher matches the most usual patterns, whole tags without choices, byte by byte:
//
//	^main-[a-f0-9]+-(?P<ts>[0-9]+)$   ->   m a i n - [a-f0-9]{1,} - ( [0-9]{1,} )
//
// Each step takes as many bytes of a set as it may. That is a match of the pattern,
// and the only one, because a step of no fixed length is never followed by a byte
// that it could take itself; a pattern in which one is is not compiled. A text that is
// not ASCII is left to the regexp package. The expression alone
// takes twenty times as long, and each match allocates; see BenchmarkFilter.
type fastMatcher struct {
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

// compileFast returns nil if the pattern is none of those, or has not the group that is
// the whole template; an empty template wants none.
func compileFast(pattern, template string) *fastMatcher {
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil || tree.Op != syntax.OpConcat || len(tree.Sub) < 2 {
		return nil
	}
	last := len(tree.Sub) - 1
	if tree.Sub[0].Op != syntax.OpBeginText || tree.Sub[last].Op != syntax.OpEndText {
		return nil
	}
	m := &fastMatcher{from: -1, to: -1}
	for _, part := range tree.Sub[1:last] {
		if !m.addSteps(part, template) {
			return nil
		}
	}
	if m.from < 0 && template != "" || !m.isUnambiguous() {
		return nil
	}
	m.shorten()
	return m
}

// shorten makes a prefix of the first steps, as far as they are single bytes and
// before the group.
func (m *fastMatcher) shorten() {
	n := 0
	for ; n < len(m.steps) && (m.from < 0 || n < m.from); n++ {
		s := &m.steps[n]
		c, single := s.set.only()
		if !single || s.least != 1 || s.most != 1 {
			break
		}
		m.prefix += string(rune(c))
	}
	m.steps = m.steps[n:]
	if m.from >= 0 {
		m.from, m.to = m.from-n, m.to-n
	}
}

// addSteps adds the steps of a part.
func (m *fastMatcher) addSteps(part *syntax.Regexp, template string) bool {
	switch part.Op {
	case syntax.OpConcat, syntax.OpCapture:
		start := len(m.steps)
		for _, inner := range part.Sub {
			if !m.addSteps(inner, template) {
				return false
			}
		}
		if part.Op == syntax.OpCapture && isOnlyGroup(template, part) {
			m.from, m.to = start, len(m.steps)
		}
		return true
	case syntax.OpEmptyMatch:
		return true
	case syntax.OpLiteral:
		for _, r := range part.Rune {
			if !m.addStep(&syntax.Regexp{Op: syntax.OpLiteral, Rune: []rune{r}, Flags: part.Flags}, 1, 1) {
				return false
			}
		}
		return true
	case syntax.OpStar:
		return m.addStep(part.Sub[0], 0, endless)
	case syntax.OpPlus:
		return m.addStep(part.Sub[0], 1, endless)
	case syntax.OpQuest:
		return m.addStep(part.Sub[0], 0, 1)
	case syntax.OpRepeat:
		most := part.Max
		if most < 0 {
			most = endless
		}
		return m.addStep(part.Sub[0], part.Min, most)
	}
	return m.addStep(part, 1, 1)
}

// addStep adds a step, if one is what matches a single byte.
func (m *fastMatcher) addStep(one *syntax.Regexp, least, most int) bool {
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
	m.steps = append(m.steps, s)
	return true
}

// isUnambiguous reports whether there is never more than one way.
func (m *fastMatcher) isUnambiguous() bool {
	for i, s := range m.steps {
		if s.least == s.most {
			continue
		}
		for _, next := range m.steps[i+1:] {
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
func (m *fastMatcher) text(tag string) (text string, matches, known bool) {
	if !strings.HasPrefix(tag, m.prefix) {
		return "", false, true
	}
	at, from, to := len(m.prefix), 0, len(tag)
	for i := range m.steps {
		if i == m.from {
			from = at
		}
		if i == m.to {
			to = at
		}
		end, known := m.steps[i].take(tag, at)
		if !known || end < 0 {
			return "", false, known
		}
		at = end
	}
	if m.from == len(m.steps) {
		from = at
	}
	if m.to == len(m.steps) {
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
