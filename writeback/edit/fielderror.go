// SPDX-License-Identifier: Apache-2.0

package edit

import "fmt"

// The reasons for leaving a field without a marker alone, besides those that
// markers share.
const (
	MissingField   Reason = "the file has no such field"
	AmbiguousField Reason = "the file has more than one such field: name the list's item, or divide the file"
	Scattered      Reason = "the fields of the setter are in more than one document of the file: divide it"
	SameField      Reason = "another part of the setter names the same field"
	NotScalar      Reason = "the path names a mapping or a list, not a value"
	EmptyField     Reason = "the field has no value that could be replaced: give it one, such as \"\""
	NotYAML        Reason = "the file is not valid YAML: name the field by a regular expression"
	NotJSONFile    Reason = "the file is not valid JSON"
	NoTagOrDigest  Reason = "the entry has neither newTag nor digest: add one"
	NoMatch        Reason = "the regular expression matches nothing in the file"
	ManyMatches    Reason = "the regular expression matches more than once"
	TooMuchWork    Reason = "the regular expression is too large for a file of this size: make it simpler"
	NotFoundAgain  Reason = "the regular expression would not find the new value again"
	OtherRegistry  Reason = "the field beside it names another registry than the image has"
)

// ofSetter are the reasons that speak of a marker, in the words of a setter's fields.
var ofSetter = map[Reason]Reason{
	NeedsTag:     "the field holds a tag, for which part has to be tag",
	NeedsVersion: "the field holds a version, for which part has to be tag",
	NeedsName:    "the field holds a name without a tag, for which part has to be name",
	NeedsDigest:  "the field holds a digest, for which part has to be digest",
	NeedsAll:     "the field holds a whole image reference, for which part has to be reference",
	Base64:       "the value is in base64, which the image is not",
	MissingPart:  "the image does not have the part that the setter asks for",
	Alias:        "the path leads to an alias: name its anchor instead",
	BlockScalar:  "the value is a block scalar: write it on the line of its key",
	Multiline:    "the value spans lines: write it on one",
	Unsupported:  "the value cannot be told from what is around it: write it in quotes",
}

// FieldError says why a field without a marker was neither read nor written.
type FieldError struct {
	Field string // as the setter names it
	Line  int    // from 1; 0 if there is none
	Why   Reason
}

// Error names the field and why.
func (e *FieldError) Error() string {
	why := e.Why
	if other, ok := ofSetter[why]; ok {
		why = other
	}
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.Field, why)
	}
	return fmt.Sprintf("line %d: %s: %s", e.Line, e.Field, why)
}

// Unwrap makes it an [ErrMissingPart] if that is why.
func (e *FieldError) Unwrap() error {
	if e.Why == MissingPart {
		return ErrMissingPart
	}
	return nil
}
