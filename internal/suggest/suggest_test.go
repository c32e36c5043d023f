// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	known := []string{"env", "envFrom", "image", "imagePullPolicy", "name", "replicas", "selector", "tty"}
	for name, tc := range map[string]struct{ name, want string }{
		"a letter is missing":              {"replica", "replicas"},
		"two letters are swapped":          {"iamge", "image"},
		"another case":                     {"imagepullpolicy", "imagePullPolicy"},
		"a longer word for it":             {"environment", "env"},
		"nothing like it":                  {"strategy", ""},
		"too short to be sure":             {"yes", ""},
		"it is empty":                      {"", ""},
		"of two that are near, the nearer": {"nam", "name"},
		"a short one, all wrong":           {"foo", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Nearest(tc.name, known); got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

// Branches of a repository that somebody else has are compared with a name, on each attempt.
func TestWhatIsComparedIsBounded(t *testing.T) {
	long := strings.Repeat("a", longest)
	if got := Nearest(long+"b", []string{long}); got != "" {
		t.Errorf("a long name is compared: %q", got)
	}
	known := append(make([]string, most), "main")
	if got := Nearest("mian", known); got != "" {
		t.Errorf("of too many names the last is compared: %q", got)
	}
	if got := Nearest("mian", known[1:]); got != "main" {
		t.Errorf("of as many as may be the last is not compared: %q", got)
	}
}
