// SPDX-License-Identifier: Apache-2.0

package edit

import (
	"bytes"
	"errors"
	"fmt"
)

// ErrMissingPart means that a marker asks for a part that the policy's image
// does not have, such as the digest of an image chosen without one. Writing an
// empty value, or only the other fields of the policy, would deploy something
// that no one chose.
var ErrMissingPart = errors.New("the policy's image does not have this part")

// Change is a value that was replaced, and the setter that did it.
type Change struct {
	OldValue, NewValue, Setter string
}

// MarkerResult is what came of one marker: a change when Old and New differ, a Reason
// when it was skipped, neither when it was up to date.
type MarkerResult struct {
	Line     int
	Setter   Setter
	Object   Object
	Old, New string
	Skip     Reason
	// Text is the comment, shortened, where Setter cannot be told from it.
	Text string
	// Field is how a field that has no marker is named; empty for a marker.
	Field string

	span span
}

// Changed tells whether the field gets a new value.
func (o MarkerResult) Changed() bool { return o.Skip == "" && o.Old != o.New }

// Change is the outcome as a commit message shows it.
func (o MarkerResult) Change() Change {
	return Change{OldValue: o.Old, NewValue: o.New, Setter: o.Setter.String()}
}

// Plan says what Apply would do with the markers of a file.
func Plan(markers []Marker, images Images) []MarkerResult {
	outcomes := make([]MarkerResult, 0, len(markers))
	for _, m := range markers {
		outcomes = append(outcomes, decide(m, images))
	}
	return outcomes
}

func decide(m Marker, images Images) MarkerResult {
	o := MarkerResult{Line: m.Line, Setter: m.Setter, Object: m.Object, Old: m.Value, New: m.Value, Skip: m.Skip, Text: m.Text, span: m.span}
	if o.Skip != "" {
		return o
	}
	if m.Setter.Namespace != images.Namespace {
		o.Skip = OtherNamespace
		return o
	}
	image, ok := images.ByPolicy[m.Setter.Policy]
	if !ok {
		o.Skip = UnknownPolicy
		return o
	}
	value := image.part(m.Setter.Part)
	why := m.site.fits(m.Setter.Part, m.Value)
	switch {
	case why != "":
		o.Skip = why
	case value == "" || !canQuote(value):
		o.Skip = MissingPart
	case !m.span.writable(value):
		o.Skip = Tagged
	default:
		o.New = value
	}
	return o
}

// Apply sets every marked field to its image. The content is returned as it is
// when nothing changes, and with an error that wraps [ErrMissingPart] when an
// image lacks what a marker asks for: then no field is changed.
func Apply(content []byte, images Images) ([]byte, []MarkerResult, error) {
	markers := Scan(content)
	outcomes := Plan(markers, images)
	for _, o := range outcomes {
		if o.Skip == MissingPart {
			return content, outcomes, fmt.Errorf("line %d: setting %s: %w", o.Line, o.Setter, ErrMissingPart)
		}
	}
	return applyVerified(content, outcomes, onlyMarked), outcomes, nil
}

// applyVerified edits the file, if holds says that the edit did what it should. Of one that did
// more, the values that are not on the line of their marker are given up, and then all.
func applyVerified(content []byte, outcomes []MarkerResult, holds func(before, after []byte, outcomes []MarkerResult) bool) []byte {
	for _, doubted := range []func(span) bool{func(s span) bool { return s.far }, func(span) bool { return true }} {
		edited := splice(content, outcomes)
		if bytes.Equal(edited, content) || holds(content, edited, outcomes) {
			return edited
		}
		for i, o := range outcomes {
			if o.Changed() && doubted(o.span) {
				outcomes[i].New, outcomes[i].Skip = o.Old, Unsupported
			}
		}
	}
	return content
}

// splice replaces the bytes of the changed scalars. Markers are in the order of
// the file, one a line, and so are their values; those that were not would be left
// alone.
func splice(content []byte, outcomes []MarkerResult) []byte {
	var edited bytes.Buffer
	done := 0
	for _, o := range outcomes {
		at := o.span
		if !o.Changed() || at.start < done {
			continue
		}
		edited.Write(content[done:at.start])
		edited.WriteString(at.text(o.New))
		done = at.end
	}
	if done == 0 {
		return content
	}
	edited.Write(content[done:])
	return edited.Bytes()
}
