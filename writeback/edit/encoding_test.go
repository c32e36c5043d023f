// SPDX-License-Identifier: Apache-2.0

package edit_test

import (
	"bytes"
	"encoding/binary"
	"testing"
	"unicode/utf16"

	"github.com/sluice-cd/sluice/writeback/edit"
)

// TestMarkersInFilesThatAreNotUTF8AreSaid reads files that an editor of Windows wrote.
func TestMarkersInFilesThatAreNotUTF8AreSaid(t *testing.T) {
	const text = "# \u540a \u0a0a\r\nkind: Deployment\r\nimage: app:1 # {\"$imagepolicy\": \"apps:app\"}\r\n"
	wide := func(order binary.ByteOrder, text string) []byte {
		var b bytes.Buffer
		for _, unit := range utf16.Encode([]rune(text)) {
			_ = binary.Write(&b, order, unit)
		}
		return b.Bytes()
	}
	tests := map[string][]byte{
		"little endian with a mark": wide(binary.LittleEndian, "\uFEFF"+text),
		"big endian with a mark":    wide(binary.BigEndian, "\uFEFF"+text),
		"little endian":             wide(binary.LittleEndian, text),
		"big endian":                wide(binary.BigEndian, text),
	}
	images := edit.Images{Namespace: "apps", ByPolicy: map[string]edit.Image{"app": {Name: "app", Tag: "2"}}}
	for name, content := range tests {
		t.Run(name, func(t *testing.T) {
			edited, outcomes, err := edit.Apply(content, images)
			if err != nil || len(outcomes) != 1 || outcomes[0].Skip != edit.Encoding || outcomes[0].Line != 3 {
				t.Errorf("got %+v, error %v", outcomes, err)
			}
			if !bytes.Equal(edited, content) {
				t.Error("the file was changed")
			}
		})
	}
	for _, content := range [][]byte{{0}, {0, 'a'}, wide(binary.LittleEndian, "\uFEFFa: b\n"), []byte("a: \x00\n")} {
		if markers := edit.Scan(content); len(markers) != 0 {
			t.Errorf("%q has %+v", content, markers)
		}
	}
}

// TestMarkersThatNoCommentIsAreSaid has what people write who know other languages, or
// who forget the braces.
func TestMarkersThatNoCommentIsAreSaid(t *testing.T) {
	for content, want := range map[string]edit.Reason{
		`image: app:1 // {"$imagepolicy": "apps:app"}`:         edit.NotComment,
		`image: app:1 <!-- {"$imagepolicy": "apps:app"} -->`:   edit.NotComment,
		`image: app:1 -- {"$imagepolicy": "apps:app"}`:         edit.NotComment,
		"image: app:1 \uFF03 {\"$imagepolicy\": \"apps:app\"}": edit.NotComment,
		`image: app:1 # "$imagepolicy": "apps:app"`:            edit.NotJSON,
		`image: app:1 # $imagepolicy: apps:app`:                edit.NotJSON,
		`image: app:1 # { "$imgpolicy": "apps:app" }`:          edit.Misspelt,
		`image: app:1 # see $imagepolicy: it is a comment`:     "",
		`image: app:1 // a path {x}`:                           "",
	} {
		markers := edit.Scan([]byte(content + "\n"))
		var got edit.Reason
		if len(markers) == 1 {
			got = markers[0].Skip
		}
		if got != want || len(markers) > 1 {
			t.Errorf("%s: got %+v, want %q", content, markers, want)
		}
	}
}
