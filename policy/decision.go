// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"strings"
)

// Decision is the tag that a policy chose, and the evidence.
type Decision struct {
	// Tag is the chosen tag, or empty when none qualifies.
	Tag string
	// Text is what was compared: the tag, or what filterTags.extract made of it.
	Text string
	// Rule names the rule that chose: semver 1.x.
	Rule string
	// Total is the number of tags considered.
	Total int

	dropped [results]Drop
}

// Drop counts the tags that one rule dropped.
type Drop struct {
	Gate Gate
	// Reason ends a sentence that starts with the count.
	Reason string
	Count  int
	// Example is the first tag that was dropped for this reason.
	Example string
}

// Drop counts a tag that a deferred gate dropped; see [DeferredGates].
func (d *Decision) Drop(g Gate, tag string) {
	for v := notFound; v < results; v++ {
		if gateOf[v] == g {
			d.drop(v, tag)
		}
	}
}

func (d *Decision) drop(v result, tag string) {
	seen := &d.dropped[v]
	if seen.Count == 0 {
		seen.Gate, seen.Reason, seen.Example = gateOf[v], reasons[v], tag
	}
	seen.Count++
}

// Dropped lists the reasons that dropped at least one tag, in the order in
// which a tag meets them.
func (d Decision) Dropped() []Drop {
	var found []Drop
	for _, seen := range d.dropped {
		if seen.Count > 0 {
			found = append(found, seen)
		}
	}
	return found
}

// Qualified is the number of tags that the rule could choose from.
func (d Decision) Qualified() int {
	n := d.Total
	for _, seen := range d.dropped {
		n -= seen.Count
	}
	return n
}

// Why explains the choice in one line:
//
//	first of 3 by semver 1.x; 2 tags dropped: 1 not a semantic version (latest), 1 outside the range (2.0.0)
func (d Decision) Why() string {
	var b strings.Builder
	switch {
	case d.Tag != "":
		fmt.Fprintf(&b, "first of %d by %s", d.Qualified(), d.Rule)
	case d.Total == 0:
		fmt.Fprintf(&b, "there are no tags to choose from by %s", d.Rule)
	case d.Total == 1:
		fmt.Fprintf(&b, "the only tag does not qualify for %s", d.Rule)
	default:
		fmt.Fprintf(&b, "none of %d tags qualifies for %s", d.Total, d.Rule)
	}
	dropped := d.Dropped()
	if len(dropped) == 0 {
		return b.String()
	}
	if d.Tag != "" {
		n, tags := d.Total-d.Qualified(), "tags"
		if n == 1 {
			tags = "tag"
		}
		fmt.Fprintf(&b, "; %d %s dropped", n, tags)
	}
	for i, seen := range dropped {
		separator := ", "
		if i == 0 {
			separator = ": "
		}
		fmt.Fprintf(&b, "%s%d %s (%s)", separator, seen.Count, seen.Reason, seen.Example)
	}
	return b.String()
}
