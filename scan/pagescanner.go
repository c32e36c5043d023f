// SPDX-License-Identifier: Apache-2.0

package scan

import "bytes"

// scanPage adds the tags of a page that looks as nearly all of them do, a name
// and a list of plain strings, in one pass over its bytes:
//
//	{"name":"app","tags":["1.0.0","1.1.0"]}
//
// It reports false, and adds nothing, of every other: one with escapes, further
// members, a null or a mistake. The decoder of the standard library has the last
// word on those; it goes over the bytes three times, which is most of what a scan
// without news would cost.
func scanPage(body []byte, into *tagBuffer) bool {
	before := *into
	q := pageScanner{rest: body}
	if q.page(into) {
		return true
	}
	*into = before
	return false
}

// pageScanner reads what is left of a page.
type pageScanner struct{ rest []byte }

func (q *pageScanner) page(into *tagBuffer) bool {
	if !q.accept('{') {
		return false
	}
	var name, tags bool
	for more := true; more; more = q.accept(',') {
		key, ok := q.text()
		if !ok || !q.accept(':') {
			return false
		}
		switch {
		case string(key) == "name" && !name:
			_, name = q.text()
			ok = name
		case string(key) == "tags" && !tags:
			tags = q.list(into)
			ok = tags
		default:
			return false
		}
		if !ok {
			return false
		}
	}
	return q.accept('}') && len(q.space()) == 0
}

// list reads an array of strings.
func (q *pageScanner) list(into *tagBuffer) bool {
	if !q.accept('[') {
		return false
	}
	if q.accept(']') {
		return true
	}
	for {
		tag, ok := q.text()
		if !ok {
			return false
		}
		into.add(tag)
		if !q.accept(',') {
			return q.accept(']')
		}
	}
}

// text reads a string in which nothing is escaped.
func (q *pageScanner) text() ([]byte, bool) {
	if !q.accept('"') {
		return nil, false
	}
	end := bytes.IndexByte(q.rest, '"')
	if end < 0 {
		return nil, false
	}
	text := q.rest[:end]
	for _, c := range text {
		if c == '\\' || c < ' ' {
			return nil, false
		}
	}
	q.rest = q.rest[end+1:]
	return text, true
}

// accept skips white space and then c, if that is next.
func (q *pageScanner) accept(c byte) bool {
	if rest := q.space(); len(rest) > 0 && rest[0] == c {
		q.rest = rest[1:]
		return true
	}
	return false
}

// space skips white space.
func (q *pageScanner) space() []byte {
	for len(q.rest) > 0 && (q.rest[0] == ' ' || q.rest[0] == '\n' || q.rest[0] == '\t' || q.rest[0] == '\r') {
		q.rest = q.rest[1:]
	}
	return q.rest
}
