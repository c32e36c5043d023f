// SPDX-License-Identifier: Apache-2.0

package policy

import "strings"

// Fits reports whether an image that is made for the platforms had runs on the
// wanted one; all are os/arch or os/arch/variant. Without a variant any will do.
// arm64 means arm64/v8 and arm means arm/v7, however an image spells it.
func Fits(wanted string, had []string) bool {
	for _, platform := range had {
		if platform == wanted || strings.HasPrefix(platform, wanted+"/") || usual(platform) == usual(wanted) {
			return true
		}
	}
	return false
}

// usual adds the variant that is meant where none is named.
func usual(platform string) string {
	switch _, arch, _ := strings.Cut(platform, "/"); arch {
	case "arm64":
		return platform + "/v8"
	case "arm":
		return platform + "/v7"
	}
	return platform
}
