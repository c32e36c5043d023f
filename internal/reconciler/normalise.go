// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"regexp"
	"slices"
	"strings"
)

// transient are the parts of errors that differ from one attempt to the next though
// nothing else does: the port that a connection got, the time at which an expired
// certificate was looked at, the numbers that clouds give to requests.
var transient = []struct {
	part *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`\b((?:read|write) (?:tcp|udp)[46]?) \S+->`), "$1 "},
	{regexp.MustCompile(`\bcurrent time \S+ is (before|after)\b`), "now is $1"},
	{regexp.MustCompile(`(?i)[,.;]? ?\b(?:request|trace|correlation|activity)[- _]?id: ?[0-9a-z-]{8,}`), ""},
	{regexp.MustCompile(`(?i)[,.;]? ?\btimestamp: ?\d{4}-\d\d-\d\d[T ][0-9:.]+Z?`), ""},
}

// normalise leaves out of an error what is transient. A condition that had it would
// change with every retry, and every change is a write and an event. The log has the
// error as it was.
func normalise(message string) string {
	for _, p := range transient {
		message = p.part.ReplaceAllString(message, p.with)
	}
	return fields.ReplaceAllStringFunc(message, func(list string) string {
		lines := strings.Split(list, "\n")
		slices.Sort(lines)
		return strings.Join(lines, "\n")
	})
}

// fields are the lines on which the API server lists what is wrong with an object,
// field by field, in an order of its own at each attempt.
var fields = regexp.MustCompile(`(?m)^ +\.[^\n]*(?:\n +\.[^\n]*)+$`)
