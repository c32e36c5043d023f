// SPDX-License-Identifier: Apache-2.0

package suggest

import "testing"

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
