// SPDX-License-Identifier: Apache-2.0

package edit

import "bytes"

// line is a line of a file without its line break. number counts from 1.
type line struct {
	number, start int
	text          []byte
}

// document is where one YAML document of a file is, and the number of its first
// line.
type document struct{ first, start, end int }

// splitDocuments divides a file at the "---" that start a document. Nothing can
// hide one: not even a block scalar may contain it at the start of a line.
func splitDocuments(content []byte) []document {
	var documents []document
	at := document{first: 1}
	for start, number := 0, 1; start < len(content); number++ {
		length, width := nextBreak(content[start:])
		if start > at.start && startsDocument(content[start:start+length]) {
			documents = append(documents, at)
			at = document{first: number, start: start}
		}
		start += length + width
		at.end = start
	}
	if at.end > at.start {
		documents = append(documents, at)
	}
	return documents
}

// text is the part of the file that the document covers.
func (d document) text(content []byte) []byte { return content[d.start:d.end] }

// lines splits where the YAML parser does, so that both count alike: at LF,
// CRLF and CR, and at the Unicode breaks NEL, LS and PS.
func (d document) lines(content []byte) []line {
	var lines []line
	for start := d.start; start < d.end; {
		length, width := nextBreak(content[start:d.end])
		lines = append(lines, line{number: d.first + len(lines), start: start, text: content[start : start+length]})
		start += length + width
	}
	return lines
}

// nextBreak returns how far the first line break is and how many bytes it has.
func nextBreak(b []byte) (length, width int) {
	for i := range b {
		switch b[i] {
		case '\n':
			return i, 1
		case '\r':
			if i+1 < len(b) && b[i+1] == '\n' {
				return i, 2
			}
			return i, 1
		case 0xC2:
			if i+1 < len(b) && b[i+1] == 0x85 {
				return i, 2
			}
		case 0xE2:
			if i+2 < len(b) && b[i+1] == 0x80 && (b[i+2] == 0xA8 || b[i+2] == 0xA9) {
				return i, 3
			}
		}
	}
	return len(b), 0
}

func startsDocument(text []byte) bool {
	return bytes.HasPrefix(text, []byte("---")) && (len(text) == 3 || isBlank(text[3]))
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// skipBlanks returns the first position from i on that is not a blank.
func skipBlanks(text []byte, i int) int {
	for i < len(text) && isBlank(text[i]) {
		i++
	}
	return i
}

// endsWord tells whether a word that stops before i stops there: at a blank or
// at the end of the line.
func endsWord(text []byte, i int) bool { return i >= len(text) || isBlank(text[i]) }
