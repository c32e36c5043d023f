package edit

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// onlyMarked asks the parser whether the edit did what it should: in every
// document that was valid, the changed fields read as their new values, as
// strings, and everything else reads as before.
func onlyMarked(before, after []byte, outcomes []Outcome) bool {
	want := map[int]string{}
	for _, o := range outcomes {
		if o.Changed() {
			want[o.Line] = o.New
		}
	}
	old, edited := splitDocuments(before), splitDocuments(after)
	if len(old) != len(edited) {
		return false
	}
	for i := range old {
		if !mayMark(old[i].text(before)) || string(old[i].text(before)) == string(edited[i].text(after)) {
			continue
		}
		c := comparison{offset: old[i].first - 1, want: want}
		if !c.sameText(old[i].text(before), edited[i].text(after)) {
			return false
		}
	}
	return true
}

// comparison walks two documents in step. On a line that should change, the one
// scalar that differs must have the new value.
type comparison struct {
	offset int
	want   map[int]string
}

// sameText compares what the parser reads. A text that it could not read before
// the edit tells nothing.
func (c comparison) sameText(before, after []byte) bool {
	was, err := decode(before)
	if err != nil {
		return true
	}
	is, err := decode(after)
	if err != nil || len(was) != len(is) {
		return false
	}
	for i := range was {
		if !c.same(was[i], is[i]) {
			return false
		}
	}
	return true
}

func (c comparison) same(was, is *yaml.Node) bool {
	if was.Kind != is.Kind || was.Anchor != is.Anchor || len(was.Content) != len(is.Content) ||
		was.Line != is.Line {
		return false
	}
	for i := range was.Content {
		if !c.same(was.Content[i], is.Content[i]) {
			return false
		}
	}
	if was.Value == is.Value && was.ShortTag() == is.ShortTag() {
		return true
	}
	if was.Style&is.Style&yaml.LiteralStyle != 0 && was.ShortTag() == is.ShortTag() {
		return c.sameLiteral(was, is)
	}
	value, ok := c.want[was.Line+c.offset]
	return ok && is.Value == value && is.ShortTag() == "!!str"
}

// sameLiteral compares literal block scalars: line by line, and as what they are
// if they are YAML. The first line of the text follows that of its header.
func (c comparison) sameLiteral(was, is *yaml.Node) bool {
	inner := comparison{offset: c.offset + was.Line, want: c.want}
	before, after := strings.Split(was.Value, "\n"), strings.Split(is.Value, "\n")
	if len(before) != len(after) {
		return false
	}
	for i := range before {
		if _, ok := c.want[inner.offset+i+1]; before[i] != after[i] && !ok {
			return false
		}
	}
	return inner.sameText([]byte(was.Value), []byte(is.Value))
}
