package policy

import (
	"fmt"
	"regexp"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
)

// filter is a compiled TagFilter. A nil filter passes every tag as it is.
type filter struct {
	pattern *regexp.Regexp
	extract string
}

func compileFilter(spec *imagev1.TagFilter) (*filter, error) {
	if spec == nil {
		return nil, nil
	}
	pattern, err := regexp.Compile(spec.Pattern)
	if err != nil {
		return nil, fmt.Errorf("%w: spec.filterTags.pattern %q: %w", ErrInvalid, spec.Pattern, err)
	}
	return &filter{pattern: pattern, extract: spec.Extract}, nil
}

// text returns what the rule compares of tag. The extract template follows
// regexp.Regexp.Expand: a group that does not exist or did not take part in the
// match is empty.
func (f *filter) text(tag string) (string, bool) {
	switch {
	case f == nil:
		return tag, true
	case f.extract == "":
		return tag, f.pattern.MatchString(tag)
	}
	groups := f.pattern.FindStringSubmatchIndex(tag)
	if groups == nil {
		return "", false
	}
	return string(f.pattern.ExpandString(nil, f.extract, tag, groups)), true
}
