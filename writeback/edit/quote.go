// SPDX-License-Identifier: Apache-2.0

package edit

import (
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// unquote is the value that a scalar's bytes stand for.
func unquote(raw []byte, s style) string {
	switch s {
	case single:
		return strings.ReplaceAll(string(raw[1:len(raw)-1]), "''", "'")
	case double:
		if !strings.Contains(string(raw), `\`) {
			return string(raw[1 : len(raw)-1])
		}
		var value string
		if yaml.Unmarshal(raw, &value) == nil {
			return value
		}
		return string(raw)
	}
	return string(raw)
}

// quote writes a value in the style that the field has. A plain field stays
// plain as long as every reader, old or new, would read the value as a string;
// otherwise it gets double quotes: a tag 10 must not become a number.
func quote(value string, s style) string {
	switch {
	case s == blockText:
		return value
	case s == plain && staysString(value):
		return value
	case s == single && isPrintable(value):
		return "'" + strings.ReplaceAll(value, "'", "''") + "'"
	}
	// Go's ASCII escapes are all escapes of YAML's double quotes as well.
	return strconv.QuoteToASCII(value)
}

// canQuote tells whether a value can be written in YAML at all.
func canQuote(value string) bool { return utf8.ValidString(value) }

func isPrintable(value string) bool {
	for i := range len(value) {
		if value[i] < ' ' || value[i] > '~' {
			return false
		}
	}
	return true
}

// plainText has no indicator of YAML, whatever stands around it.
var plainText = regexp.MustCompile(`^[A-Za-z0-9_./]([A-Za-z0-9_./@:+~=-]*[A-Za-z0-9_./@+~=-])?$`)

// otherTypes are plain scalars that YAML 1.1 or 1.2 does not read as strings:
// null, booleans, integers (also in base 2, 8, 16 and 60), floats, timestamps.
var otherTypes = regexp.MustCompile(`(?i)^(` + strings.Join([]string{
	`null|true|false|yes|no|on|off|y|n`,
	`[-+]?[0-9_]+`,
	`[-+]?0[box][0-9a-f_]+`,
	`[-+]?[0-9][0-9_]*(:[0-9]+)+(\.[0-9_]*)?`,
	`[-+]?(\.[0-9_]+|[0-9][0-9_]*(\.[0-9_]*)?)(e[-+]?[0-9]+)?`,
	`[-+]?0x[0-9a-f_.]+p[-+]?[0-9]+`,
	`[-+]?\.inf|\.nan`,
	`[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(t.*)?`,
}, "|") + `)$`)

func staysString(value string) bool {
	return plainText.MatchString(value) && !otherTypes.MatchString(value)
}

// writable tells whether a value can be written where a field has an explicit type.
// A type of the document's own may be anything; one of YAML has to be the value's,
// and only numbers are images.
func (s span) writable(value string) bool {
	switch {
	case s.style == blockText && (!isPrintable(value) || strings.TrimSpace(value) != value || value == ""):
		return false
	case s.tag == "", s.tag == "!!str", s.tag == "!":
		return true
	case s.tag == "!!int":
		return s.style == plain && decimal.MatchString(value)
	case s.tag == "!!float":
		return s.style == plain && float.MatchString(value)
	}
	return !strings.HasPrefix(s.tag, "!!") && !strings.HasPrefix(s.tag, "!<")
}

// decimal and float are numbers that all versions of YAML read alike.
var (
	decimal = regexp.MustCompile(`^(0|[1-9][0-9]{0,17})$`)
	float   = regexp.MustCompile(`^(0|[1-9][0-9]{0,8})\.[0-9]{1,8}$`)
)

// text is a value as it is written into the field.
func (s span) text(value string) string {
	if s.tag == "!!int" || s.tag == "!!float" {
		return value
	}
	return quote(value, s.style)
}
