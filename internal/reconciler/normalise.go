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

// quoting are the words after which net/http and its HTTP/2 quote a server whose answer they
// cannot read. Whoever writes an object has any server connected to, an SSH or a mail server
// of somebody else's as well, and must not read its first lines in a condition.
var quoting = []string{
	"malformed HTTP response", "malformed HTTP status code", "malformed HTTP version", "malformed MIME header initial line:",
	"malformed MIME header line:", "malformed MIME header: missing colon:", "bad Content-Length", "multiple Content-Length headers",
	"unsupported transfer encoding:", "too many transfer encodings:", "failed to parse Location header", "invalid Trailer key",
	"bad trailer key", "unexpected ALPN protocol", "debug=",
}

// quotation is what they quote, in the quotes of Go, which may be quoted in turn.
const quotation = ` ?\\*"(?:[^"\\]|\\.)*(?:"|$)`

// quoted finds the words and what is quoted, to the end where there may be more of it.
var quoted = regexp.MustCompile(`(?:failed to parse Location header|multiple Content-Length headers)\b.*|(?:` +
	strings.Join(quoting, "|") + `)` + quotation)

// unquoted is a message without the words of a server that net/http could not read.
func unquoted(message string) string {
	if !slices.ContainsFunc(quoting, func(words string) bool { return strings.Contains(message, words) }) {
		return message
	}
	return quoted.ReplaceAllStringFunc(message, func(found string) string {
		for _, words := range quoting {
			if strings.HasPrefix(found, words) {
				return strings.TrimRight(words, ":=")
			}
		}
		return ""
	})
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
