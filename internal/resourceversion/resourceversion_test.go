// SPDX-License-Identifier: Apache-2.0

package resourceversion

import "testing"

func TestWhatCannotBeComparedIsNotOlder(t *testing.T) {
	for _, tc := range []struct {
		version, than string
		want          bool
	}{{"6", "7", true}, {"9", "10", true}, {"7", "7", false}, {"8", "7", false}, {"", "7", false}, {"7", "", false}, {"x", "7", false}} {
		if got := Older(tc.version, tc.than); got != tc.want {
			t.Errorf("%q is older than %q: %v", tc.version, tc.than, got)
		}
	}
}
