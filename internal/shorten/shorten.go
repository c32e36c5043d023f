// SPDX-License-Identifier: Apache-2.0

// Package shorten makes texts fit where they are shown or stored: conditions, events,
// chat messages, fields of other servers' APIs. Such a place has a limit in characters
// (the maxLength of a CRD, most chats) or in bytes (most forges, what is kept in memory):
//
//	shorten.Runes("a long text", 9, shorten.Dots)    "a long..."
//	shorten.Bytes("äöüß", 6, shorten.Ellipsis)       "ä…"          ä is 2 bytes, … is 3
//	shorten.Commit("0123456789abcdef...")            "0123456"
//	shorten.Duration(time.Hour)                      "1h"
//
// The mark that says that something is missing counts: no result is longer than asked for.
// A character is never cut in two, as half of one is no valid UTF-8, which an API server
// refuses or replaces.
//
// Secrets are masked before, since half a secret is not recognised.
package shorten

import (
	"strings"
	"time"
	"unicode/utf8"
)

// Marks for the end of a text that goes on.
const (
	Dots     = "..." // in what controllers say
	Ellipsis = "…"   // where every character counts
)

// commitDigits is what Git shows of a commit, and Flux in its events.
const commitDigits = 7

// Runes returns a text of at most most characters: the text itself, or its beginning and
// the mark. A mark that has no room is left out. A byte that is no valid UTF-8 counts as a
// character.
func Runes(text string, most int, mark string) string {
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	if most < utf8.RuneCountInString(mark) {
		mark = ""
	}
	keep, end := most-utf8.RuneCountInString(mark), 0
	for range keep { // there are more, as the text is too long
		_, size := utf8.DecodeRuneInString(text[end:])
		end += size
	}
	return text[:end] + mark
}

// Bytes returns a text of at most most bytes: the text itself, or its beginning, up to the
// end of a character, and the mark. A mark that has no room is left out.
func Bytes(text string, most int, mark string) string {
	if len(text) <= most {
		return text
	}
	if most < len(mark) {
		mark = ""
	}
	end := max(most, 0) - len(mark)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + mark
}

// Commit returns the first seven digits of a commit, or of the hexadecimal part of a
// digest, as Git abbreviates them.
func Commit(hash string) string { return Bytes(hash, commitDigits, "") }

// Duration writes a duration as people write it in a spec: 1h or 1m30s, where its own
// String writes 1h0m0s and 1m30s.
func Duration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
