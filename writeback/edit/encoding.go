// SPDX-License-Identifier: Apache-2.0

package edit

import (
	"bytes"
	"unicode/utf16"
)

// YAML may also be UTF-16, which some editors write, and kustomize and kubectl read.
// Such files are not edited; that they have markers is said all the same.

// wide tells whether a text may be of more than one byte a character. No YAML in
// UTF-8 has a zero byte.
func wide(content []byte) bool { return bytes.IndexByte(content, 0) >= 0 }

// scanEncoded reports the first marker of a file that is not UTF-8. Of one that is
// larger than what is edited it reads no more than that.
func scanEncoded(content []byte) []Marker {
	content = content[:min(len(content), MaxSize)]
	if !wide(content) {
		return nil
	}
	text := narrowed(content)
	if !mayMark(text) {
		return nil
	}
	return firstMarker(text, document{first: 1, end: len(text)}, Encoding)
}

// narrowed is the text with a byte for each character, and a question mark for those
// that are not ASCII, whose bytes may look like line breaks. What is not UTF-16 loses
// its zero bytes.
func narrowed(content []byte) []byte {
	big := bytes.HasPrefix(content, []byte{0xFE, 0xFF}) || !bytes.HasPrefix(content, []byte{0xFF, 0xFE}) && content[0] == 0
	text := make([]byte, 0, len(content)/2+1)
	for at := 0; at+1 < len(content); at += 2 {
		unit := rune(content[at]) | rune(content[at+1])<<8
		if big {
			unit = rune(content[at])<<8 | rune(content[at+1])
		}
		switch {
		case unit == 0: // the other half of UTF-32
		case unit < 0x80:
			text = append(text, byte(unit))
		case !utf16.IsSurrogate(unit):
			text = append(text, '?')
		}
	}
	return text
}
