// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"strings"
	"testing"
)

func TestFits(t *testing.T) {
	tests := map[string]struct {
		wanted, had string
		want        bool
	}{
		"the same":                          {"linux/amd64", "linux/arm64 linux/amd64", true},
		"another architecture":              {"linux/arm64", "linux/amd64", false},
		"another system":                    {"linux/amd64", "windows/amd64", false},
		"a name that starts alike":          {"linux/arm", "linux/arm64", false},
		"the variant that is meant":         {"linux/arm64/v8", "linux/arm64", true},
		"the variant that is spelt out":     {"linux/arm64", "linux/arm64/v8", true},
		"any variant":                       {"linux/arm", "linux/arm/v6", true},
		"the wrong variant":                 {"linux/arm/v7", "linux/arm/v6", false},
		"no variant is not any variant":     {"linux/arm/v6", "linux/arm", false},
		"an artifact is made for no system": {"linux/amd64", "", false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := Fits(tc.wanted, strings.Fields(tc.had)); got != tc.want {
				t.Errorf("%s on %s: %v", tc.had, tc.wanted, got)
			}
		})
	}
}
