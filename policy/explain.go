// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"iter"
	"strings"
)

// Line says what became of one tag.
type Line struct {
	Tag string `json:"tag"`
	// Text is what the rule compared, or empty if the filter dropped the tag.
	Text string `json:"text,omitempty"`
	// Rank counts from 1, the best. It is 0 for a tag that was dropped.
	Rank int `json:"rank,omitempty"`
	// Gate is the first that dropped the tag.
	Gate Gate `json:"gate,omitempty"`
	// Why ends the sentence that starts with the tag: outside the range.
	Why string `json:"why,omitempty"`
}

// Explain returns a line for every tag: first those that could be chosen, best
// first, then those that were dropped, in their order. A repeated tag has one
// line. The deferred gates are not asked.
func (p *Policy) Explain(tags iter.Seq[string]) []Line {
	selected := p.rule.selector(unbounded)
	known := map[string]bool{}
	var dropped []Line
	for tag := range tags {
		if known[tag] {
			continue
		}
		tag = strings.Clone(tag)
		known[tag] = true
		if v := p.check(selected, tag); v != accepted {
			dropped = append(dropped, p.line(tag, v))
		}
	}
	var lines []Line
	for i, r := range selected.best() {
		lines = append(lines, Line{Tag: r.Tag, Text: r.Text, Rank: i + 1})
	}
	return append(lines, dropped...)
}

func (p *Policy) line(tag string, v result) Line {
	text, _ := p.filter.text(tag)
	l := Line{Tag: tag, Text: text, Gate: gateOf[v], Why: reasons[v]}
	if r, ok := p.RejectsTag(tag); ok && v == rejectedTag {
		l.Why = Because(r)
	}
	return l
}
