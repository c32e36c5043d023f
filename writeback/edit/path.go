// SPDX-License-Identifier: Apache-2.0

package edit

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Bounds of a path.
const (
	maxPath  = 1024 // bytes
	maxSteps = 32
	maxIndex = 100_000
)

// fieldPath leads from the root of a document to a field, such as
//
//	spec.template.spec.containers[name=app].image
//	images[0].newTag
//	data."app.properties".'a b'
//
// Keys are separated by dots, and may be in quotes. Items of a list are named by
// their index, from 0, or by the value of one of their keys.
type fieldPath []step

// step is one of a path: a key, an index if key and by are empty, or the items
// whose key by has the value.
type step struct {
	key       string
	index     int
	by, value string
}

// parsePath reads a path. Its error is about the path alone.
func parsePath(text string) (fieldPath, error) {
	if text == "" {
		return nil, errors.New("the path is empty")
	}
	if len(text) > maxPath {
		return nil, fmt.Errorf("the path has %d bytes, and may have %d", len(text), maxPath)
	}
	var path fieldPath
	next := firstStep
	for rest := text; rest != ""; next = laterStep {
		s, after, err := next(rest)
		if err != nil {
			return nil, fmt.Errorf("path %q, at byte %d: %w", text, len(text)-len(rest), err)
		}
		if path = append(path, s); len(path) > maxSteps {
			return nil, fmt.Errorf("the path has more than %d steps", maxSteps)
		}
		rest = after
	}
	return path, nil
}

// firstStep reads the step at the start of a path and returns what is behind it.
func firstStep(text string) (step, string, error) {
	if body, found := strings.CutPrefix(text, "["); found {
		return listStep(body)
	}
	return keyStep(text)
}

// laterStep is firstStep for those that follow, whose keys have a dot before them.
func laterStep(text string) (step, string, error) {
	if body, found := strings.CutPrefix(text, "["); found {
		return listStep(body)
	}
	body, found := strings.CutPrefix(text, ".")
	if !found {
		return step{}, "", errors.New("keys are separated by a dot")
	}
	return keyStep(body)
}

func keyStep(text string) (step, string, error) {
	key, rest, err := word(text, ".[")
	switch {
	case err != nil:
		return step{}, "", err
	case key == "":
		return step{}, "", errors.New("a key is empty")
	}
	return step{key: key}, rest, nil
}

// listStep reads what is between brackets: an index, or key=value.
func listStep(text string) (step, string, error) {
	name, rest, err := word(text, "=]")
	if err != nil {
		return step{}, "", err
	}
	if behind, found := strings.CutPrefix(rest, "]"); found {
		index, err := strconv.ParseUint(name, 10, 32)
		if err != nil || index > maxIndex {
			return step{}, "", fmt.Errorf("%q is neither an index from 0 to %d nor key=value; write keys as a.\"b.c\"", name, maxIndex)
		}
		return step{index: int(index)}, behind, nil
	}
	value, found := strings.CutPrefix(rest, "=")
	if !found || name == "" {
		return step{}, "", errors.New("brackets hold an index or key=value, and are closed")
	}
	value, rest, err = word(value, "]")
	if err != nil {
		return step{}, "", err
	}
	if rest, found = strings.CutPrefix(rest, "]"); !found {
		return step{}, "", errors.New("a bracket is not closed")
	}
	return step{by: name, value: value}, rest, nil
}

// word reads up to one of the ends, or what is in quotes: single ones have no
// escapes, double ones those of Go.
func word(text, ends string) (value, rest string, err error) {
	switch {
	case strings.HasPrefix(text, "'"):
		value, rest, found := strings.Cut(text[1:], "'")
		if !found {
			return "", "", errors.New("a quote is not closed")
		}
		return value, rest, nil
	case strings.HasPrefix(text, `"`):
		quoted, err := strconv.QuotedPrefix(text)
		if err != nil {
			return "", "", errors.New("a quote is not closed, or has an escape that there is not")
		}
		value, err := strconv.Unquote(quoted)
		return value, text[len(quoted):], err
	}
	end := strings.IndexAny(text, ends)
	if end < 0 {
		end = len(text)
	}
	if strings.ContainsAny(text[:end], `"'[]{}`) {
		return "", "", fmt.Errorf("%q has to be in quotes", text[:end])
	}
	return text[:end], text[end:], nil
}

// last is the key of the field, empty for an item of a list.
func (p fieldPath) last() string { return p[len(p)-1].key }

// words are all texts that a document has if it has the path.
func (p fieldPath) words() []string {
	var words []string
	for _, s := range p {
		for _, w := range []string{s.key, s.by, s.value} {
			if w != "" {
				words = append(words, w)
			}
		}
	}
	return words
}
