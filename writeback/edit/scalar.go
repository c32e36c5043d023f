// SPDX-License-Identifier: Apache-2.0

package edit

import (
	"bytes"
	"regexp"
)

// style is how a scalar is quoted.
type style int

const (
	plain style = iota
	single
	double
	blockText // a line of a block scalar, which quotes nothing
)

// keyValueLine is a line of the shape "key: value" or "- value", both with a comment.
// All positions are bytes of the line.
type keyValueLine struct {
	property   int // of the anchor or tag in front of the value; else equal to start
	start, end int // of the value, quotes included
	style      style
	// certain means that the line needs no document around it to be understood:
	// an ordinary key or a dash, and no properties in front of the value.
	certain bool
	tag     string // explicit type
	key     string // as it is written, without quotes; empty where the line alone cannot tell
}

// readField finds the value on a line whose comment starts at comment. Only one
// reading of the line may be possible; any doubt is a Reason.
func readField(text []byte, comment int) (keyValueLine, Reason) {
	i, certain, skip := skipKey(text, comment)
	if skip != "" {
		return keyValueLine{}, skip
	}
	f := keyValueLine{property: i}
	if certain {
		f.key = keyOf(text[:i])
	}
	f.start, f.tag = skipProperties(text, i)
	f.certain = certain && f.start == i
	if f.start >= comment {
		return keyValueLine{}, NoValue
	}
	if start, end, ok := soleValue(text, f.start, comment); ok {
		f.start, f.property, comment, f.certain = start, start, end, false
	}
	if skip = unreadable(text[f.start:comment]); skip != "" {
		return keyValueLine{}, skip
	}
	f.style, f.end = scanScalar(text, f.start, comment)
	if f.end < 0 {
		return keyValueLine{}, Multiline
	}
	if rest := bytes.Trim(text[f.end:comment], " \t"); len(rest) > 0 && string(rest) != "," {
		return keyValueLine{}, Flow
	}
	return f, ""
}

// keyOf is the key in front of a value, without dashes and quotes.
func keyOf(front []byte) string {
	front = bytes.Trim(front, " \t")
	front, found := bytes.CutSuffix(front, []byte(":"))
	if !found {
		return ""
	}
	front = bytes.TrimRight(front, " \t")
	return string(bytes.Trim(front[bytes.LastIndexAny(front, " \t")+1:], `"'`))
}

// soleValue finds the value of a flow collection on this line that has only one,
// such as [app:1] or {tag: 1.0}. Anything in it that might be a second makes it
// none.
func soleValue(text []byte, start, limit int) (from, to int, ok bool) {
	end := start + len(bytes.TrimRight(text[start:limit], " \t"))
	if text[end-1] == ',' {
		end = start + len(bytes.TrimRight(text[start:end-1], " \t"))
	}
	shut := map[byte]byte{'[': ']', '{': '}'}[text[start]]
	if shut == 0 || text[end-1] != shut {
		return 0, 0, false
	}
	from, to = skipBlanks(text, start+1), end-1
	if shut == '}' {
		colon := keyEnd(text, from, to)
		if colon < 0 || !ordinaryKey.Match(text[from:colon]) {
			return 0, 0, false
		}
		from = skipBlanks(text, colon+1)
	}
	if from >= to {
		return 0, 0, false
	}
	style, closed := scanScalar(text, from, to)
	if style == plain && bytes.ContainsAny(text[from:to], "[]{},#\"'") || closed != from+len(bytes.TrimRight(text[from:to], " \t")) {
		return 0, 0, false
	}
	return from, to, true
}

// ordinaryKey is a key that means the same in any surroundings.
var ordinaryKey = regexp.MustCompile(`^([A-Za-z0-9_./-]+|"[^"\\]*"|'[^']*')[ \t]*$`)

// skipKey returns where the value starts, behind the dashes and the key, and
// whether these can be understood without a document around them.
func skipKey(text []byte, comment int) (i int, certain bool, skip Reason) {
	i = skipBlanks(text, 0)
	if i == comment {
		return 0, false, OwnLine
	}
	if i == 0 && (startsDocument(text) || text[0] == '%') {
		return 0, false, Unsupported
	}
	for i < comment && text[i] == '-' && endsWord(text, i+1) {
		i, certain = skipBlanks(text, i+1), true
	}
	switch {
	case i >= comment:
		return 0, false, NoValue
	case bytes.HasPrefix(text[i:], []byte("{{")):
		return 0, false, Template
	case text[i] == '{' || text[i] == '[':
		return i, false, ""
	case text[i] == '?' && endsWord(text, i+1):
		return 0, false, Unsupported
	}
	if end := keyEnd(text, i, comment); end >= 0 {
		return skipBlanks(text, end+1), ordinaryKey.Match(text[i:end]), ""
	}
	return i, certain, ""
}

// keyEnd is the position of the colon behind a key that starts at i, or -1 when
// the line has no key.
func keyEnd(text []byte, i, comment int) int {
	if text[i] == '"' || text[i] == '\'' {
		_, end := scanScalar(text, i, comment)
		if end < 0 {
			return -1
		}
		if end = skipBlanks(text, end); end < comment && text[end] == ':' && endsWord(text, end+1) {
			return end
		}
		return -1
	}
	for ; i < comment; i++ {
		if text[i] == ':' && endsWord(text, i+1) {
			return i
		}
	}
	return -1
}

// skipProperties skips an anchor and a tag in front of a value.
func skipProperties(text []byte, i int) (start int, tag string) {
	for i < len(text) && (text[i] == '&' || text[i] == '!') {
		end := i
		for !endsWord(text, end) {
			end++
		}
		if text[i] == '!' {
			tag = shortTag(text[i:end])
		}
		i = skipBlanks(text, end)
	}
	return i, tag
}

// shortTag is a tag as people mostly write it: !!str for !<tag:yaml.org,2002:str>.
func shortTag(tag []byte) string {
	name, verbatim := bytes.CutPrefix(tag, []byte("!<tag:yaml.org,2002:"))
	if !verbatim {
		return string(tag)
	}
	return "!!" + string(bytes.TrimSuffix(name, []byte(">")))
}

// unreadable recognises values that are not a scalar on this line.
func unreadable(value []byte) Reason {
	switch value[0] {
	case '|', '>':
		return BlockScalar
	case '*':
		return Alias
	case '[', ']', '}', ',':
		return Flow
	case '{':
		if bytes.HasPrefix(value, []byte("{{")) {
			return Template
		}
		return Flow
	case '@', '`', '%':
		return Unsupported
	}
	if bytes.Contains(value, []byte("{{")) || bytes.Contains(value, []byte("}}")) {
		return Template
	}
	return ""
}

// scanScalar returns the style of the scalar at start and where it ends; -1 when
// it does not end before limit.
func scanScalar(text []byte, start, limit int) (style, int) {
	switch text[start] {
	case '"':
		for i := start + 1; i < limit; i++ {
			switch text[i] {
			case '\\':
				i++
			case '"':
				return double, i + 1
			}
		}
		return double, -1
	case '\'':
		for i := start + 1; i < limit; i++ {
			if text[i] != '\'' {
				continue
			}
			if i+1 < limit && text[i+1] == '\'' {
				i++
				continue
			}
			return single, i + 1
		}
		return single, -1
	}
	return plain, start + len(bytes.TrimRight(text[start:limit], " \t"))
}

// commentStart finds the comment of a line: the first "#" behind a blank that
// no quotes enclose. Quotes count only where a scalar can start, as in YAML.
func commentStart(text []byte) int {
	startable := true // whether a quoted scalar can start here
	for i := 0; i < len(text); i++ {
		behindBlank := i == 0 || isBlank(text[i-1])
		switch c := text[i]; {
		case c == '#' && behindBlank:
			return i
		case startable && (c == '"' || c == '\''):
			_, end := scanScalar(text, i, len(text))
			if end < 0 {
				return -1
			}
			i, startable = end-1, false
		case !isBlank(c):
			startable = bytes.IndexByte([]byte("[{,"), c) >= 0
		case !behindBlank: // the first of several blanks says it for all
			startable = startable || opens(text, i)
		}
	}
	return -1
}

// opens tells whether the token that ends before i lets a value follow it.
func opens(text []byte, i int) bool {
	switch text[i-1] {
	case ':', '-', '?':
		return true
	}
	token := text[bytes.LastIndexAny(text[:i], " \t")+1 : i]
	return token[0] == '&' || token[0] == '!'
}
