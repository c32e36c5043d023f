package edit

import "go.yaml.in/yaml/v3"

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
	old, edited := splitDocuments(splitLines(before)), splitDocuments(splitLines(after))
	if len(old) != len(edited) {
		return false
	}
	for i := range old {
		if !touches(old[i], want) {
			continue
		}
		was, err := decode(stretch(before, old[i]))
		if err != nil {
			continue
		}
		is, err := decode(stretch(after, edited[i]))
		if err != nil || len(was) != len(is) {
			return false
		}
		c := comparison{offset: old[i][0].number - 1, want: want}
		for j := range was {
			if !c.same(was[j], is[j]) {
				return false
			}
		}
	}
	return true
}

func touches(lines []line, want map[int]string) bool {
	for _, l := range lines {
		if _, ok := want[l.number]; ok {
			return true
		}
	}
	return false
}

// comparison walks two documents in step. On a line that should change, the one
// scalar that differs must have the new value.
type comparison struct {
	offset int
	want   map[int]string
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
	value, ok := c.want[was.Line+c.offset]
	return ok && is.Value == value && is.ShortTag() == "!!str"
}
