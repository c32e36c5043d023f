// SPDX-License-Identifier: Apache-2.0

package edit

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

// A comment is a marker by a member of its JSON object: the short form or, as
// Flux also takes it, a reference to a setter's definition.
const (
	key       = "$imagepolicy"
	longKey   = "$ref"
	setterRef = "#/definitions/io.k8s.cli.setters."
)

// hints are in every marker and near miss; they are searched for before
// anything else is looked at.
var hints = [][]byte{
	[]byte("$image"), []byte("io.k8s.cli.setters."), []byte(`{"$`), []byte(`{'$`), []byte(`{ "$`), []byte(`{ '$`),
	[]byte("magepolic"), []byte("magePolic"), []byte("mage-polic"), []byte("mage_polic"),
}

// mayMark tells whether there may be a marker in the text.
func mayMark(text []byte) bool {
	return slices.ContainsFunc(hints, func(hint []byte) bool { return bytes.Contains(text, hint) })
}

// Reason says why a marker was left alone. It completes the sentence "skipped:".
type Reason string

// The reasons for leaving a marker alone.
const (
	UnknownPolicy  Reason = "no selected and ready policy of this name"
	OtherNamespace Reason = "the policy is in another namespace"
	MissingPart    Reason = "the policy's image does not have the part that the marker asks for"

	SingleQuotes Reason = "the marker is not JSON: it must use double quotes"
	TextAround   Reason = "the marker shares its comment with other text"
	NotJSON      Reason = "the marker is not a JSON object"
	BadSetter    Reason = "the marker is not namespace:name[:tag|:name|:digest]"
	Misspelt     Reason = "the key of the marker is not spelled $imagepolicy"
	OwnLine      Reason = "the marker is on a line of its own, not behind a value"

	NoValue     Reason = "there is no value in front of the marker"
	BlockScalar Reason = "the value is a block scalar of more than one line: write it on the line of its key, or mark a line in it"
	Folded      Reason = "the line is part of a folded block scalar, where a comment is text: use | instead of >"
	Template    Reason = "the value is a template expression"
	Flow        Reason = "the comment belongs to none of the values of the flow collection: put it behind its value, the rest below"
	Alias       Reason = "the value is an alias: mark its anchor instead"
	Tagged      Reason = "the value has an explicit type that the image is not of"
	InText      Reason = "the marker is part of a text in quotes, or of another that is no comment"
	NotComment  Reason = "comments of YAML start with a blank and #: the marker is part of the value"
	NoBlank     Reason = "there is no blank in front of the #, so that the marker is part of the value"
	Multiline   Reason = "the line is part of a block scalar or of a value that spans lines"
	TooLarge    Reason = "the file has more than 4 MiB, or the YAML document more than 1 MiB or some 250,000 values"
	Encoding    Reason = "the file is not UTF-8: save it as UTF-8"
	Unsupported Reason = "the line is neither \"key: value\" nor \"- value\""
)

// Object is the Kubernetes object that a marker sits in. It is zero where there
// is none, and in files that are not valid YAML. The order of its fields is the
// order in which templates iterate over objects.
type Object struct {
	APIVersion, Kind, Name, Namespace string
}

// Marker is one marker of a file, or a comment that means to be one.
type Marker struct {
	Line   int    // from 1
	Setter Setter // zero when Skip says that the comment is not a marker
	Object Object
	Value  string // what the field holds now, unquoted
	Skip   Reason // empty when the field can be set
	// Text is the comment, shortened, where Setter cannot be told from it.
	Text string

	span span
	site markerSite
}

// Weight is about how many bytes the marker takes in memory.
func (m Marker) Weight() int64 {
	const fixed = 240
	o := m.Object
	return fixed + int64(len(m.Setter.Namespace)+len(m.Setter.Policy)+len(m.Value)+
		len(o.APIVersion)+len(o.Kind)+len(o.Name)+len(o.Namespace))
}

// span is where the scalar is, in the whole file.
type span struct {
	start, end int // includes the quotes
	style      style
	column     int    // of the scalar or its anchor: runes from 1, as the parser counts
	certain    bool   // understood without a document around the line
	tag        string // explicit type, such as !!int
	// node is the line on which the parser sees the value, last the one on which it
	// ends, and dropped how many line breaks are in between.
	node, last, dropped int
	far                 bool // the value was found by the parser and not by its line
}

// misspelt is a key that someone took for the right one, or any other with a
// dollar whose value is that of a marker.
var misspelt = regexp.MustCompile(`(?i)["']?\$?image[-_ ]?polic(y|ies)["']?\s*:|` +
	`\{\s*["']\$[a-z_-]+["']\s*:\s*["'][a-z0-9.-]+:[a-z0-9.-]+(:(tag|name|digest))?["']\s*\}`)

// unbraced is a comment that is a marker but for its braces.
var unbraced = regexp.MustCompile(`^#+\s*["']?\$imagepolicy["']?\s*[:=]`)

// readComment says what a comment that follows a value means. It is not a
// marker, and no near miss either, when found is false.
func readComment(comment []byte) (setter Setter, skip Reason, found bool) {
	short := bytes.Contains(comment, []byte(key))
	if short && unbraced.Match(comment) {
		return Setter{}, NotJSON, true
	}
	if !bytes.ContainsRune(comment, '{') || !short && !bytes.Contains(comment, hints[1]) && !misspelt.Match(comment) {
		return Setter{}, "", false
	}
	body := bytes.TrimSpace(bytes.TrimLeft(comment, "#"))
	value, ok := jsonSetter(body)
	switch {
	case !ok && short:
		return Setter{}, whyNotJSON(body), true
	case !ok && bytes.Contains(comment, hints[1]):
		return Setter{}, "", false // a setter of another tool
	case !ok:
		return Setter{}, Misspelt, true
	}
	setter, err := ParseSetter(value)
	if err != nil {
		return Setter{}, BadSetter, true
	}
	return setter, "", true
}

// jsonSetter reads both forms of a marker.
func jsonSetter(body []byte) (string, bool) {
	var object map[string]any
	if err := json.Unmarshal(body, &object); err != nil {
		return "", false
	}
	return setterOf(object)
}

// setterOf is the setter in the object that a comment is.
func setterOf(object map[string]any) (string, bool) {
	if value, ok := object[key].(string); ok {
		return value, true
	}
	ref, _ := object[longKey].(string)
	value, ok := strings.CutPrefix(ref, setterRef)
	return value, ok && strings.Contains(value, ":")
}

func whyNotJSON(body []byte) Reason {
	before, _, _ := bytes.Cut(body, []byte(key))
	if open := bytes.LastIndexByte(before, '{'); open >= 0 {
		var object map[string]any
		if err := json.NewDecoder(bytes.NewReader(body[open:])).Decode(&object); err == nil {
			if _, ok := setterOf(object); ok {
				return TextAround // another marker, say
			}
		}
	}
	if bytes.Contains(body, []byte("'"+key+"'")) {
		return SingleQuotes
	}
	return NotJSON
}
