// SPDX-License-Identifier: Apache-2.0

package writeback

import (
	"regexp"
	"strings"
)

// pushError is why a push did not go through, in words that stay the same for as
// long as the reason does. Every attempt makes a commit of its own, with a time of
// its own, and servers repeat its id, where they keep it meanwhile, and what time it
// is. A condition that said so would change with each attempt, and tell an event
// each time.
type pushError struct {
	err     error
	commits []Commit
}

// Error is the error without what passes.
func (e *pushError) Error() string {
	text := objectID.ReplaceAllStringFunc(e.err.Error(), func(id string) string {
		for _, c := range e.commits {
			if strings.HasPrefix(c.Hash.String(), strings.ToLower(id)) {
				return "the commit"
			}
		}
		return id
	})
	for _, p := range passing {
		text = p.part.ReplaceAllString(text, p.with)
	}
	return text
}

// Unwrap returns the error as it was.
func (e *pushError) Unwrap() error { return e.err }

var objectID = regexp.MustCompile(`(?i)\b[0-9a-f]{7,64}\b`)

// passing are the parts of a server's words that differ each time.
var passing = []struct {
	part *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`(?i)\b\d{1,2}[/.]\d{1,2}[/.]\d{4},?( (at )?\d{1,2}:\d\d(:\d\d)?( ?[ap]\.?m\b\.?)?)?`), "now"},
	{regexp.MustCompile(`(?i)\b\d{1,2}:\d\d(:\d\d)? ?[ap]m\b`), "now"},
	{regexp.MustCompile(`(?i)\b(took) \d+ ?(s|secs?|seconds?|minutes?)\b`), "$1 a while"},
	{regexp.MustCompile(`(?i)\b(again|retry|retried|retry-after|wait|waiting|resets?|expires?|unlocks?|unlocked)((?: in| after| for|:)?) ` +
		`\d+ ?(s|secs?|seconds?|m|mins?|minutes?|h|hours?)\b`), "$1$2 a while"},
	{regexp.MustCompile(`(?i)\b(pid|process)[ =:]+\d+\b`), "$1 ..."},
	{regexp.MustCompile(`\[\d{2,}\]:`), "[...]:"}, // a process, as syslog has it
	{regexp.MustCompile(`(/tmp|/var/tmp)/[^\s"'` + "`" + `:,;)]+`), "$1/..."},
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?([.,]\d+)?( ?(Z|UTC|GMT|[-+]\d\d:?\d\d))?`), "now"},
	{regexp.MustCompile(`\b((Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? )?(\d{1,2} )?(Jan|Feb|Mar|Apr|May|Jun|` +
		`Jul|Aug|Sep|Oct|Nov|Dec)[a-z]* (\d{1,2} )?(\d{4} )?` +
		`\d\d:\d\d:\d\d( [A-Z]{3,4}| [-+]\d{4})?( \d{4})?`), "now"},
	{regexp.MustCompile(`\b\d\d:\d\d:\d\d([.,]\d+)?\b`), "now"},
	{regexp.MustCompile(`\b1[6-9]\d{8}([.,]\d+|\d{3})?\b`), "now"}, // seconds or milliseconds since 1970
	{regexp.MustCompile(`\b\d+([.,]\d+)? ?(ms|µs|us)\b|\b\d+[.,]\d+ ?(s|sec|seconds)\b`), "a while"},
	{regexp.MustCompile(`(?i)\b(request|correlation|trace|activity|incident|session|transaction|ray|error|reference)` +
		`[ -]?id[:= ]+[0-9a-z:-]*[0-9][0-9a-z:-]*`),
		"request ..."},
	{regexp.MustCompile(`(?i)\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b`), "..."},
	{regexp.MustCompile(`\b(tmp_objdir-)?incoming-[A-Za-z0-9_]+`), "incoming"},
}
