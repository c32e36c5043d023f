// SPDX-License-Identifier: Apache-2.0

package edit

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// onlyMarked asks the parser whether the edit did what it should: in every
// document that was valid, the changed fields read as their new values, as
// strings, and everything else reads as before.
func onlyMarked(before, after []byte, outcomes []MarkerResult) bool {
	all := newComparison(1, outcomes)
	var shortened []span
	for _, o := range outcomes {
		if o.Changed() && o.span.dropped > 0 {
			shortened = append(shortened, o.span)
		}
	}
	old, edited := splitDocuments(before), splitDocuments(after)
	if len(old) != len(edited) {
		return false
	}
	for i := range old {
		if string(old[i].text(before)) == string(edited[i].text(after)) {
			continue
		}
		end := math.MaxInt
		if i+1 < len(old) {
			end = old[i+1].first
		}
		c := all
		c.offset, c.shifts = old[i].first-1, shiftsOf(shortened, old[i].first, end)
		if !c.sameText(old[i].text(before), edited[i].text(after)) {
			return false
		}
	}
	return true
}

// documentComparison walks two documents in step. On a line that should change, a scalar that
// differs must have one of the new values.
type documentComparison struct {
	offset int
	want   map[int][]MarkerResult // by the line on which the parser sees the value
	// touched are the lines on which the changed values end.
	touched map[int]bool
	// shifts come of values that spanned lines and do so no more.
	shifts []shift
}

// newComparison compares the document whose first line is given, by its number from 1.
func newComparison(first int, outcomes []MarkerResult) documentComparison {
	c := documentComparison{offset: first - 1, want: map[int][]MarkerResult{}, touched: map[int]bool{}}
	for _, o := range outcomes {
		if o.Changed() {
			c.want[o.span.node], c.touched[o.span.last] = append(c.want[o.span.node], o), true
		}
	}
	return c
}

// shift says that what is behind a line moves up by so many lines.
type shift struct{ behind, by int }

// shiftsOf are the shifts that the changes of a document make, each with those
// before it.
func shiftsOf(changed []span, from, to int) []shift {
	first, _ := slices.BinarySearchFunc(changed, from, func(s span, line int) int { return cmp.Compare(s.last, line) })
	var shifts []shift
	by := 0
	for _, s := range changed[first:] {
		if s.last >= to {
			break
		}
		by += s.dropped
		shifts = append(shifts, shift{s.last, by})
	}
	return shifts
}

// lineAfter is the line on which what was on a line is after the edit, both of the same
// document.
func (c documentComparison) lineAfter(number int) int {
	i, _ := slices.BinarySearchFunc(c.shifts, number+c.offset, func(s shift, line int) int { return cmp.Compare(s.behind, line) })
	if i == 0 {
		return number
	}
	return number - c.shifts[i-1].by
}

// sameText compares what the parser reads. A text that it could not read before
// the edit tells nothing.
func (c documentComparison) sameText(before, after []byte) bool {
	was, err := decode(before)
	if err != nil {
		return true
	}
	is, err := decode(after)
	return err == nil && c.sameNodes(was, is)
}

func (c documentComparison) sameNodes(was, is []*yaml.Node) bool {
	if len(was) != len(is) {
		return false
	}
	for i := range was {
		if !c.equalNodes(was[i], is[i]) {
			return false
		}
	}
	return true
}

func (c documentComparison) equalNodes(was, is *yaml.Node) bool {
	if was.Kind != is.Kind || was.Anchor != is.Anchor || len(was.Content) != len(is.Content) ||
		c.lineAfter(was.Line) != is.Line {
		return false
	}
	for i := range was.Content {
		if !c.equalNodes(was.Content[i], is.Content[i]) {
			return false
		}
	}
	return c.sameScalar(was, is)
}

// sameScalar compares the values of two nodes at the same place: equal, or one that
// was to be written.
func (c documentComparison) sameScalar(was, is *yaml.Node) bool {
	if was.Value == is.Value && was.ShortTag() == is.ShortTag() {
		return true
	}
	want := c.want[was.Line+c.offset]
	if len(want) > 0 && want[0].span.style == blockText {
		return isBlock(is) && strings.TrimRight(is.Value, "\n") == want[0].New && was.ShortTag() == is.ShortTag()
	}
	if was.Style&is.Style&yaml.LiteralStyle != 0 && was.ShortTag() == is.ShortTag() {
		return c.sameLiteral(was, is)
	}
	return slices.ContainsFunc(want, func(o MarkerResult) bool {
		return is.Value == o.New && (is.ShortTag() == "!!str" || o.span.tag != "" && is.ShortTag() == was.ShortTag())
	})
}

// sameLiteral compares literal block scalars: line by line, and as what they are
// if they are YAML. The first line of the text follows that of its header.
func (c documentComparison) sameLiteral(was, is *yaml.Node) bool {
	inner := documentComparison{offset: c.offset + was.Line, want: c.want, touched: c.touched}
	before, after := strings.Split(was.Value, "\n"), strings.Split(is.Value, "\n")
	if len(before) != len(after) {
		return false
	}
	for i := range before {
		if before[i] != after[i] && !c.touched[inner.offset+i+1] {
			return false
		}
	}
	return inner.sameText([]byte(was.Value), []byte(is.Value))
}
