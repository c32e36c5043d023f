// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
)

func TestStoriesThatCannotBeToldAreRefused(t *testing.T) {
	cases := map[string]struct {
		story, node string
		wantErr     string // part of it; empty is none
	}{
		"a promotion is told on simulated nodes":            {"promotion", "simulated", ""},
		"a release is told on real nodes":                   {"release", "real", ""},
		"a promotion needs what real nodes have not":        {"promotion", "real", "use STORY=release with NODE=real"},
		"of a story that there is not, the others are told": {"fairy tale", "simulated", "only promotion, pull-request, release"},
		"so do pull requests":                               {"pull-request", "real", "use STORY=release with NODE=real"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := newStory(tc.story, settings{node: tc.node})
			if tc.wantErr == "" && err != nil || tc.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tc.wantErr)) {
				t.Errorf("error %v, want %q", err, tc.wantErr)
			}
		})
	}
}
