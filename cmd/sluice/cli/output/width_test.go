// SPDX-License-Identifier: Apache-2.0

package output

import (
	"bytes"
	"testing"
)

func TestALineIsCutBetweenWords(t *testing.T) {
	for name, tc := range map[string]struct {
		line  string
		width int
		want  string
	}{
		"one that fits":         {"ready to go", 11, "ready to go"},
		"no limit":              {"ready to go", 0, "ready to go"},
		"in a word":             {"the build failed", 13, "the build..."},
		"after a word":          {"the build failed", 12, "the build..."},
		"a long word":           {"a-very-long-name ", 10, "a-very-..."},
		"a long word at an end": {"a very-very-long-name", 12, "a very-ve..."},
		"a narrow terminal":     {"ready", 2, "re"},
		"other letters":         {"größe ändern", 10, "größe..."},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Fit(tc.line, tc.width); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
	if got := Width(&bytes.Buffer{}); got != 0 {
		t.Errorf("a buffer is %d wide", got)
	}
}
