// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/sluice-cd/sluice/internal/pattern"
)

// glob is a compiled pattern in which ** is any number of directories, {a,b} is one of both, and
// the rest is as in [path.Match].
type glob struct {
	pattern.Pattern
	text string
}

// compileGlob compiles a pattern. It becomes a regular expression, which takes time in proportion
// to the path, whatever somebody makes of braces and stars.
func compileGlob(text string) (glob, error) {
	t := &translation{rest: text}
	if err := t.alternative(0); err != nil {
		return glob{}, fmt.Errorf("invalid pattern '%s': %w", text, err)
	}
	compiled, err := pattern.Compile(`^(?s:` + t.out.String() + `)$`)
	if err != nil {
		return glob{}, fmt.Errorf("invalid pattern '%s': %w", text, err)
	}
	return glob{compiled, text}, nil
}

// matches reports whether the pattern matches a path, or its last name if it is a pattern of names.
func (g glob) matches(name string) bool {
	return g.MatchString(name) || !strings.Contains(g.text, "/") && g.MatchString(path.Base(name))
}

// maxBraces is how deep braces may nest.
const maxBraces = 10

// translation makes a regular expression of a pattern.
type translation struct {
	rest string
	out  strings.Builder
	// inName is false where a name of a path begins.
	inName bool
}

// alternative translates up to the end, or what ends an alternative at a depth of braces.
func (t *translation) alternative(depth int) error {
	for !t.ends(depth) {
		c := t.rest[0]
		switch {
		case c == '/' && isRest(t.rest[1:], depth):
			// dir/** is dir, too.
			t.out.WriteString(`(?:/.*)?`)
			t.rest = t.rest[len("/**"):]
		case c == '*':
			t.stars(depth)
		case c == '?':
			t.put(`[^/]`, 1)
		case c == '[':
			if err := t.class(); err != nil {
				return err
			}
		case c == '{':
			if err := t.braces(depth + 1); err != nil {
				return err
			}
		default:
			if err := t.literal(); err != nil {
				return err
			}
		}
	}
	return nil
}

// ends reports whether an alternative is over.
func (t *translation) ends(depth int) bool {
	return t.rest == "" || depth > 0 && (t.rest[0] == ',' || t.rest[0] == '}')
}

// isRest reports whether ** is all that is left of a pattern.
func isRest(rest string, depth int) bool {
	after, ok := strings.CutPrefix(rest, "**")
	return ok && (after == "" || depth > 0 && (after[0] == ',' || after[0] == '}'))
}

func (t *translation) put(expression string, length int) {
	t.out.WriteString(expression)
	t.rest, t.inName = t.rest[length:], true
}

// literal is the next character as it is, or the one after a backslash.
func (t *translation) literal() error {
	if t.rest[0] == '\\' {
		if t.rest = t.rest[1:]; t.rest == "" {
			return errors.New("it ends in a backslash")
		}
	}
	length := len(string([]rune(t.rest)[:1]))
	length = min(max(length, 1), len(t.rest))
	slash := t.rest[0] == '/'
	t.put(regexp.QuoteMeta(t.rest[:length]), length)
	t.inName = !slash
	return nil
}

// stars translates * and **, which counts for more only as a whole name.
func (t *translation) stars(depth int) {
	stars := len(t.rest) - len(strings.TrimLeft(t.rest, "*"))
	after := t.rest[stars:]
	switch {
	case stars == 2 && !t.inName && strings.HasPrefix(after, "/"):
		t.put(`(?:[^/]+/)*`, stars+1)
		t.inName = false
	case stars == 2 && !t.inName && isRest(t.rest, depth):
		t.put(`.*`, stars)
	default:
		t.put(`[^/]*`, stars)
	}
}

// class translates [a-z] and [^a-z].
func (t *translation) class() error {
	var out strings.Builder
	rest := t.rest[1:]
	out.WriteString("[")
	if rest != "" && (rest[0] == '^' || rest[0] == '!') {
		out.WriteString("^/")
		rest = rest[1:]
	}
	for n := 0; ; n++ {
		switch {
		case rest == "":
			return errors.New("a bracket is not closed")
		case rest[0] == ']' && n > 0:
			out.WriteString("]")
			t.put(out.String(), len(t.rest)-len(rest)+1)
			return nil
		case rest[0] == ']', rest[0] == '-':
			return errors.New("brackets with nothing in them, or half a range")
		}
		from, left, err := classRune(rest)
		if err != nil {
			return err
		}
		to := from
		if len(left) > 0 && left[0] == '-' {
			if to, left, err = classRune(left[1:]); err != nil {
				return err
			}
		}
		if to < from {
			return errors.New("a range in brackets ends before it begins")
		}
		_, _ = fmt.Fprintf(&out, `\x{%x}-\x{%x}`, from, to)
		rest = left
	}
}

// classRune is the next character of a class.
func classRune(rest string) (rune, string, error) {
	if strings.HasPrefix(rest, `\`) {
		rest = rest[1:]
	} else if strings.HasPrefix(rest, "]") {
		return 0, "", errors.New("half a range in brackets")
	}
	for _, r := range rest {
		return r, strings.TrimPrefix(rest, string(r)), validRune(r)
	}
	return 0, "", errors.New("a bracket is not closed")
}

func validRune(r rune) error {
	if r == '\uFFFD' {
		return errors.New("it is not UTF-8")
	}
	return nil
}

// braces translates {a,b}.
func (t *translation) braces(depth int) error {
	if depth > maxBraces {
		return fmt.Errorf("braces nest deeper than %d", maxBraces)
	}
	begins := t.inName
	t.out.WriteString("(?:")
	for {
		t.rest, t.inName = t.rest[1:], begins
		if err := t.alternative(depth); err != nil {
			return err
		}
		if t.rest == "" {
			return errors.New("a brace is not closed")
		}
		if t.rest[0] == '}' {
			t.out.WriteString(")")
			t.rest, t.inName = t.rest[1:], true
			return nil
		}
		t.out.WriteString("|")
	}
}
