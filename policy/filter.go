package policy

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
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
	// walk and cut do the same without allocating, where the pattern allows it.
	walk *walk
	cut  *cut
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
	f := &filter{
		pattern: compiled.Regexp, size: compiled.Size, extract: spec.Extract,
		walk: compileWalk(spec.Pattern, spec.Extract), cut: compileCut(spec, compiled.Regexp),
	}
	if f.walk != nil {
		f.size = 1
	}
	return f, nil
}

// maxExtract bounds a template, each group of which may be as long as a tag.
const maxExtract = 256

// text returns what the rule compares of tag. The extract template follows
// regexp.Regexp.Expand: a group that does not exist or did not take part in the
// match is empty.
func (f *filter) text(tag string) (string, bool) {
	if f == nil {
		return tag, true
	}
	if f.walk != nil {
		if text, ok, known := f.walk.text(tag); known {
			return text, ok
		}
	}
	if f.extract == "" {
		if !f.pattern.MatchString(tag) {
			return "", false
		}
		return tag, true
	}
	if f.cut != nil {
		if text, ok := f.cut.text(tag); ok {
			return text, true
		}
		if !f.pattern.MatchString(tag) { // does not allocate either
			return "", false
		}
	}
	groups := f.pattern.FindStringSubmatchIndex(tag)
	if groups == nil {
		return "", false
	}
	return string(f.pattern.ExpandString(nil, f.extract, tag, groups)), true
}

// cut reads the most usual filter, one group of a pattern for whole tags, in the
// three parts that come before the group, in it and after it:
//
//	^main-[a-f0-9]+-(?P<ts>[0-9]+)$   ->   ^main-[a-f0-9]+-   ^[0-9]+$   nothing
//
// Of a group the regexp package returns nothing without allocating; of a whole
// match it does. What comes after is plain text, so that it is known where the
// group ends. Where the first part ends as it likes best, and the others follow,
// there the whole pattern ends it too. If they do not follow, the whole may still
// match otherwise, and must be asked.
type cut struct {
	prefix string         // before the group, if that is plain text
	before *regexp.Regexp // or else its pattern
	group  *regexp.Regexp // nil for .* and .+, of at least so many bytes
	least  int
	suffix string
}

func compileCut(spec *imagev1.TagFilter, compiled *regexp.Regexp) *cut {
	tree, err := syntax.Parse(spec.Pattern, syntax.Perl)
	if err != nil || tree.Op != syntax.OpConcat || len(tree.Sub) < 3 || compiled.NumSubexp() != 1 {
		return nil
	}
	last := len(tree.Sub) - 1
	if tree.Sub[0].Op != syntax.OpBeginText || tree.Sub[last].Op != syntax.OpEndText {
		return nil
	}
	parts := tree.Sub[1:last]
	at := slices.IndexFunc(parts, func(part *syntax.Regexp) bool { return part.Op == syntax.OpCapture })
	if at < 0 || !takes(spec.Extract, parts[at]) || looksAround(parts) {
		return nil
	}
	return cutParts(parts[:at], parts[at].Sub[0], parts[at+1:])
}

// cutParts returns nil if what comes after the group is not plain text.
func cutParts(before []*syntax.Regexp, inside *syntax.Regexp, after []*syntax.Regexp) *cut {
	var c cut
	var ok bool
	var err error
	if c.suffix, ok = plain(after); !ok {
		return nil
	}
	if c.prefix, ok = plain(before); !ok {
		whole := &syntax.Regexp{Op: syntax.OpConcat, Sub: before, Flags: syntax.Perl}
		if c.before, err = regexp.Compile(`\A(?:` + whole.String() + `)`); err != nil {
			return nil
		}
	}
	switch {
	case inside.Op == syntax.OpStar && inside.Sub[0].Op == syntax.OpAnyCharNotNL:
		return &c
	case inside.Op == syntax.OpPlus && inside.Sub[0].Op == syntax.OpAnyCharNotNL:
		c.least = 1
		return &c
	}
	if c.group, err = regexp.Compile(`\A(?:` + inside.String() + `)\z`); err != nil {
		return nil
	}
	return &c
}

// plain returns what parts match, if that is one text.
func plain(parts []*syntax.Regexp) (string, bool) {
	var text strings.Builder
	for _, part := range parts {
		if part.Op != syntax.OpLiteral || part.Flags&syntax.FoldCase != 0 {
			return "", false
		}
		text.WriteString(string(part.Rune))
	}
	return text.String(), true
}

// takes reports whether the template is the group and nothing else.
func takes(template string, group *syntax.Regexp) bool {
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

// looksAround reports whether some part depends on what is beside it.
func looksAround(parts []*syntax.Regexp) bool {
	for _, part := range parts {
		switch part.Op {
		case syntax.OpBeginText, syntax.OpEndText, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
			return true
		}
		if looksAround(part.Sub) {
			return true
		}
	}
	return false
}

func (c *cut) text(tag string) (string, bool) {
	rest, ok := strings.CutPrefix(tag, c.prefix)
	if ok && c.before != nil {
		match := c.before.FindString(rest)
		rest, ok = rest[len(match):], match != ""
	}
	if ok {
		rest, ok = strings.CutSuffix(rest, c.suffix)
	}
	if c.group == nil {
		return rest, ok && len(rest) >= c.least && strings.IndexByte(rest, '\n') < 0
	}
	return rest, ok && c.group.MatchString(rest)
}
