// SPDX-License-Identifier: Apache-2.0

package edit

import (
	"bytes"
	"encoding/json"
	"strings"
)

// jsonFormat finds fields with the decoder of JSON, which tells where each value
// ends. Values are written as strings.
type jsonFormat struct{}

// jsonValue is a value and where it starts in its file.
type jsonValue struct {
	raw   []byte
	start int
}

// encrypted looks for the checksum of SOPS, which covers all values unless it says
// otherwise.
func (jsonFormat) encrypted(content []byte) bool {
	if !bytes.Contains(content, []byte(`"sops"`)) {
		return false
	}
	var file struct {
		Sops struct {
			MAC           string `json:"mac"`
			OnlyEncrypted bool   `json:"mac_only_encrypted"`
		} `json:"sops"`
	}
	return json.Unmarshal(bytes.TrimPrefix(content, byteOrderMark), &file) == nil && file.Sops.MAC != "" && !file.Sops.OnlyEncrypted
}

func (jsonFormat) read(content []byte, targets []target) fileValues {
	body := bytes.TrimPrefix(content, byteOrderMark)
	r := fileValues{places: make([]valueLocation, len(targets))}
	valid := json.Valid(body)
	for i, t := range targets {
		if !valid {
			r.places[i].why = NotJSONFile
			continue
		}
		found := jsonValue{raw: body, start: len(content) - len(body)}.find(t.path)
		switch len(found) {
		case 0:
			r.places[i].why = MissingField
		case 1:
			r.places[i] = found[0].place(content, t)
		default:
			r.places[i].why = AmbiguousField
		}
	}
	return r
}

// place is where the value is in its file.
func (v jsonValue) place(content []byte, t target) valueLocation {
	number := lineOf(content, v.start)
	p := valueLocation{
		site: markerSite{key: t.path.last()},
		span: span{start: v.start, end: v.start + len(v.raw), node: number, last: number},
	}
	switch {
	case v.raw[0] == '{', v.raw[0] == '[':
		p.why = NotScalar
	case string(v.raw) == "null":
	case v.raw[0] == '"':
		if json.Unmarshal(v.raw, &p.value) != nil {
			p.why = Unsupported
		}
	default:
		p.value = string(v.raw)
	}
	return p
}

// lineOf is the number of the line that a byte is on.
func lineOf(content []byte, at int) int { return bytes.Count(content[:at], []byte("\n")) + 1 }

// find returns the values at a path.
func (v jsonValue) find(path fieldPath) []jsonValue {
	if len(path) == 0 {
		return []jsonValue{v}
	}
	var found []jsonValue
	index := 0
	v.each(func(key string, child jsonValue) {
		switch s := path[0]; {
		case s.key != "":
			if v.startsWith('{') && key == s.key {
				found = append(found, child.find(path[1:])...)
			}
		case !v.startsWith('['):
		case s.by != "" && child.hasField(s.by, s.value), s.by == "" && index == s.index:
			found = append(found, child.find(path[1:])...)
		}
		index++
	})
	return found
}

// startsWith tells whether the value is an object or a list, by how it starts.
func (v jsonValue) startsWith(start byte) bool {
	trimmed := bytes.TrimLeft(v.raw, " \t\r\n")
	return len(trimmed) > 0 && trimmed[0] == start
}

// hasField tells whether an object has a value, which is no object or list, for a key.
func (v jsonValue) hasField(key, value string) bool {
	found := false
	v.each(func(k string, child jsonValue) {
		text := string(child.raw)
		if child.raw[0] == '"' && json.Unmarshal(child.raw, &text) != nil {
			return
		}
		found = found || v.startsWith('{') && k == key && text == value
	})
	return found
}

// each visits the values of an object, by their keys, or of a list.
func (v jsonValue) each(visit func(key string, child jsonValue)) {
	decoder := json.NewDecoder(bytes.NewReader(v.raw))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') && start != json.Delim('[') {
		return
	}
	isObject := v.startsWith('{')
	for decoder.More() {
		key := ""
		if isObject {
			token, err := decoder.Token()
			if err != nil {
				return
			}
			key, _ = token.(string)
		}
		var raw json.RawMessage
		if decoder.Decode(&raw) != nil {
			return
		}
		start := int(decoder.InputOffset()) - len(raw)
		visit(key, jsonValue{raw: v.raw[start : start+len(raw)], start: v.start + start})
	}
}

func (jsonFormat) write(_ span, value string) (string, Reason) {
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if encoder.Encode(value) != nil {
		return "", Unsupported
	}
	return strings.TrimSuffix(text.String(), "\n"), ""
}

// onlyChanged needs no second look: whole values were replaced by strings, and the file was
// read again.
func (jsonFormat) onlyChanged(_, _ fileValues, _ []MarkerResult) bool { return true }
