// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/pattern"
)

// filter is a compiled TagFilter. A nil filter passes every tag as it is.
type filter struct {
	pattern *regexp.Regexp
	size    int // of the work for each byte of a tag
	extract string
	// fast does the same without allocating, where the pattern allows it.
	fast *fastMatcher
}

func compileFilter(spec *imagev1.TagFilter) (*filter, error) {
	if spec == nil {
		return nil, nil
	}
	compiled, err := pattern.Compile(spec.Pattern)
	if err != nil {
		return nil, fmt.Errorf("%w: spec.filterTags.pattern %.200q: %w", ErrInvalid, spec.Pattern, err)
	}
	if len(spec.Extract) > maxExtract {
		return nil, fmt.Errorf("%w: spec.filterTags.extract has %d bytes, and may have %d", ErrInvalid, len(spec.Extract), maxExtract)
	}
	if err := checkExtract(compiled.Regexp, spec.Extract); err != nil {
		return nil, fmt.Errorf("%w: spec.filterTags.extract %q: %w", ErrInvalid, spec.Extract, err)
	}
	f := &filter{
		pattern: compiled.Regexp, size: compiled.Size, extract: spec.Extract,
		fast: compileFast(spec.Pattern, spec.Extract),
	}
	if f.fast != nil {
		f.size = 1
	}
	return f, nil
}

// maxExtract bounds a template, each group of which may be as long as a tag.
const maxExtract = 256

// text returns what the rule compares of tag. The extract template follows
// regexp.Regexp.Expand: a group that did not take part in the match is empty.
func (f *filter) text(tag string) (string, bool) {
	if f == nil {
		return tag, true
	}
	if f.fast != nil {
		if text, ok, known := f.fast.text(tag); known {
			return text, ok
		}
	}
	if f.extract == "" {
		if !f.pattern.MatchString(tag) {
			return "", false
		}
		return tag, true
	}
	if !f.pattern.MatchString(tag) { // most tags end here, and this does not allocate
		return "", false
	}
	groups := f.pattern.FindStringSubmatchIndex(tag)
	if groups == nil {
		return "", false
	}
	return string(f.pattern.ExpandString(nil, f.extract, tag, groups)), true
}

// isOnlyGroup reports whether the template is the group and nothing else.
func isOnlyGroup(template string, group *syntax.Regexp) bool {
	name, ok := strings.CutPrefix(template, "$")
	if inner, braced := strings.CutPrefix(name, "{"); braced {
		name, ok = strings.CutSuffix(inner, "}")
	}
	switch {
	case !ok || name == "":
		return false
	case onlyDigits(name): // even if a group has such a name
		return name == strconv.Itoa(group.Cap)
	}
	return name == group.Name
}
