package edit

import (
	"bytes"
	"encoding/json"
)

// key is the member of the JSON object that makes a comment a marker.
const key = "$imagepolicy"

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
	OwnLine      Reason = "the marker is on a line of its own, not behind a value"

	NoValue     Reason = "there is no value in front of the marker"
	BlockScalar Reason = "the value is a block scalar"
	Template    Reason = "the value is a template expression"
	Flow        Reason = "the value is a flow collection, or one of several on its line"
	Alias       Reason = "the value is an alias: mark its anchor instead"
	Tagged      Reason = "the value has an explicit type other than !!str"
	Multiline   Reason = "the line is part of a block scalar or of a value that spans lines"
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

	span span
}

// span is where the scalar is, in the whole file.
type span struct {
	start, end int // includes the quotes
	style      style
	column     int // of the scalar or its anchor: runes from 1, as the parser counts
	inFlow     bool
	certain    bool // understood without a document around the line
}

// readComment says what a comment that follows a value means. It is not a
// marker, and no near miss either, when found is false.
func readComment(comment []byte) (setter Setter, skip Reason, found bool) {
	if !bytes.Contains(comment, []byte(key)) || !bytes.ContainsRune(comment, '{') {
		return Setter{}, "", false
	}
	body := bytes.TrimSpace(bytes.TrimLeft(comment, "#"))
	value, ok := jsonSetter(body)
	if !ok {
		return Setter{}, whyNotJSON(body), true
	}
	setter, err := ParseSetter(value)
	if err != nil {
		return Setter{}, BadSetter, true
	}
	return setter, "", true
}

func jsonSetter(body []byte) (string, bool) {
	var object map[string]any
	if err := json.Unmarshal(body, &object); err != nil {
		return "", false
	}
	value, ok := object[key].(string)
	return value, ok
}

func whyNotJSON(body []byte) Reason {
	open, shut := bytes.IndexByte(body, '{'), bytes.LastIndexByte(body, '}')
	if shut > open && (open > 0 || shut < len(body)-1) {
		if _, ok := jsonSetter(body[open : shut+1]); ok {
			return TextAround
		}
	}
	if bytes.Contains(body, []byte("'"+key+"'")) {
		return SingleQuotes
	}
	return NotJSON
}
