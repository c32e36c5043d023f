// SPDX-License-Identifier: Apache-2.0

// Package mask hides secret values in texts that people read: conditions, events,
// logs, errors.
//
// A value seldom appears as it is. It is quoted in JSON, put on one line, shown line
// by line, encoded for a URL or as base64, or turned into a number on its way through
// YAML. All of these are hidden. What remains has to stay readable, so the shorter a
// value is, the more has to speak for it:
//
//	less than 4 characters      only where it stands by itself, between quotes or after a colon
//	less than 8, only letters   only as a whole word
//	everything else             wherever it is
//
// [Secret] and [File] hide what a manifest says is secret, where its values are not known otherwise: in differences that
// people are shown.
package mask

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"iter"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// What stands where a secret was.
const (
	// Hidden stands for a value.
	Hidden = "***"
	// Withheld stands for all of a text that may show values that nobody has kept.
	Withheld = "*** (so much is secret that this cannot be shown without showing some of it)"
)

// The lengths of values that are words, and of those that are less.
const (
	wordLength  = 8
	shortLength = 4
	// maxLines is how many lines of a value are hidden by themselves.
	maxLines = 1000
	// maxNumber is how long a value may be to be a number.
	maxNumber = 400
	// maxParsed is the length of a value up to which it is looked at as YAML.
	maxParsed = 64 << 10
)

// Mask knows values, and hides them. A nil Mask knows none. It is safe for
// concurrent use.
//
// It keeps nothing but the values: all that a large Secret may appear as takes a
// hundred times its size, and what a text is too short for is not in it.
type Mask struct {
	secrets []string
	// everything is hidden, not only the secrets.
	everything bool
}

// New returns a mask of values.
func New(secrets ...string) *Mask {
	known := slices.Clone(secrets)
	slices.Sort(known)
	return &Mask{secrets: slices.Compact(known)}
}

// Everything returns a mask that hides whole texts, by [Withheld]: for where not all values are known.
func Everything() *Mask { return &Mask{everything: true} }

// And returns a mask that hides what either does.
func (m *Mask) And(other *Mask) *Mask {
	switch {
	case m == nil:
		return other
	case other == nil:
		return m
	case m.everything, other.everything:
		return Everything()
	}
	return New(append(slices.Clip(m.secrets), other.secrets...)...)
}

// Text returns the text without the values.
func (m *Mask) Text(text string) string {
	switch {
	case m == nil, text == "":
		return text
	case m.everything:
		return Withheld
	}
	found := map[string]bool{}
	for _, secret := range m.secrets {
		for form := range formsOf(secret, len(text)) {
			if strings.Contains(text, form) {
				found[form] = true
			}
		}
	}
	return hide(text, found)
}

// hide replaces forms of values. What is replaced as it is comes first, and of that the
// longest, so that no part of a value stays because another value is in it.
func hide(text string, forms map[string]bool) string {
	var anywhere []string
	var delimited []*regexp.Regexp
	for _, form := range slices.Sorted(maps.Keys(forms)) {
		switch {
		case len(form) < shortLength:
			delimited = append(delimited, regexp.MustCompile(
				`(["'`+"`"+`:=(]\s?)`+regexp.QuoteMeta(form)+`(["'`+"`"+`,;)}\]]|\s|$)`))
		case len(form) < wordLength && isWord(form):
			delimited = append(delimited, regexp.MustCompile(
				`(^|[^\pL\pN])`+regexp.QuoteMeta(form)+`([^\pL\pN]|$)`))
		default:
			anywhere = append(anywhere, form)
		}
	}
	slices.SortStableFunc(anywhere, func(a, b string) int { return len(b) - len(a) })
	pairs := make([]string, 0, 2*len(anywhere))
	for _, form := range anywhere {
		pairs = append(pairs, form, Hidden)
	}
	text = strings.NewReplacer(pairs...).Replace(text)
	for _, pattern := range delimited {
		for range 2 { // neighbours share the character between them
			text = pattern.ReplaceAllString(text, "${1}"+Hidden+"${2}")
		}
	}
	return text
}

// Error returns the error with a text without the values. What it wraps is found by
// errors.Is and errors.As, and must not be shown.
func (m *Mask) Error(err error) error {
	if m == nil || err == nil {
		return err
	}
	if text := m.Text(err.Error()); text != err.Error() {
		return maskedError{text, err}
	}
	return err
}

type maskedError struct {
	text string
	err  error
}

func (e maskedError) Error() string { return e.text }
func (e maskedError) Unwrap() error { return e.err }

// formsOf yields how a value may appear in a text of so many bytes.
func formsOf(secret string, length int) iter.Seq[string] {
	return func(yield func(string) bool) {
		for plain := range plainFormsOf(secret) {
			if plain == "" || len(plain) > length { // no encoding makes it shorter
				continue
			}
			for _, form := range encodings(plain) {
				if form != "" && !yield(form) {
					return
				}
			}
		}
		if len(secret) > maxNumber {
			return
		}
		for _, form := range numbers(strings.TrimSpace(secret)) {
			if !yield(form) {
				return
			}
		}
	}
}

func plainFormsOf(secret string) iter.Seq[string] {
	return func(yield func(string) bool) {
		joined := strings.ReplaceAll(secret, "\n", "")
		for _, form := range []string{
			secret, strings.TrimSpace(secret), joined, strings.TrimSpace(joined), strings.Join(strings.Fields(secret), " "),
		} {
			if !yield(form) {
				return
			}
		}
		lines := 0
		for line := range strings.SplitSeq(secret, "\n") {
			if lines++; lines > maxLines {
				break
			}
			if line = strings.TrimSpace(line); len(line) >= shortLength && !yield(line) {
				return
			}
		}
		for _, part := range parts(secret) {
			if !yield(part) {
				return
			}
		}
	}
}

// parts lists the keys and scalars of a value that is a list or a map in YAML, as
// JSON is: put into a manifest, it is taken apart, and errors show the parts.
func parts(secret string) []string {
	var document yaml.Node
	if len(secret) > maxParsed || yaml.Unmarshal([]byte(secret), &document) != nil || len(document.Content) != 1 ||
		document.Content[0].Kind == yaml.ScalarNode {
		return nil
	}
	var all []string
	nodes := document.Content
	for len(nodes) > 0 && len(all) < maxLines {
		node := nodes[0]
		nodes = append(nodes[1:], node.Content...)
		if node.Kind == yaml.ScalarNode && len(node.Value) >= shortLength {
			all = append(append(all, node.Value), numbers(node.Value)...)
		}
	}
	return all
}

// encodings lists how a text may be written.
func encodings(text string) []string {
	raw := []byte(text)
	quoted := strconv.Quote(text)
	ascii := strconv.QuoteToASCII(text)
	all := []string{
		text, quoted[1 : len(quoted)-1], ascii[1 : len(ascii)-1], strings.ReplaceAll(text, "'", "''"),
		jsonOf(text), plainJSONOf(text), url.QueryEscape(text), url.PathEscape(text),
	}
	for _, form := range all[1:] { // an error in an error
		all = append(all, plainJSONOf(form))
	}
	if len(text) >= shortLength {
		all = append(all,
			base64.StdEncoding.EncodeToString(raw), base64.RawStdEncoding.EncodeToString(raw),
			base64.URLEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw),
			hex.EncodeToString(raw), strings.ToUpper(text), strings.ToLower(text))
	}
	return all
}

// jsonOf is how JSON writes a text that may become part of HTML, without the quotes; it is
// what encoding/json does by itself.
func jsonOf(text string) string {
	encoded, err := json.Marshal(text)
	if err != nil {
		return text
	}
	return string(encoded[1 : len(encoded)-1])
}

// plainJSONOf is how JSON writes a text otherwise, without the quotes.
func plainJSONOf(text string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(text); err != nil {
		return text
	}
	return strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(b.String()), `"`), `"`)
}

// numbers lists how a value is written once it was taken for a number.
func numbers(text string) []string {
	var all []string
	if n, err := strconv.ParseInt(text, 0, 64); err == nil {
		all = append(all, strconv.FormatInt(n, 10))
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil {
		for _, format := range []byte{'g', 'f', 'e'} {
			all = append(all, strconv.FormatFloat(f, format, -1, 64))
		}
	}
	return all
}

func isWord(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return (r < 'a' || 'z' < r) && (r < 'A' || 'Z' < r) }) < 0
}
