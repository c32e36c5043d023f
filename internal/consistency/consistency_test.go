// SPDX-License-Identifier: Apache-2.0

package consistency

import "testing"

func TestACacheIsReadyWhenItShowsTheLastWrite(t *testing.T) {
	tests := map[string]struct {
		wrote, cached string
		want          bool
	}{
		"an object that was never written":         {cached: "7", want: true},
		"a cache that shows the write":             {wrote: "10", cached: "10", want: true},
		"a cache that shows a later write":         {wrote: "9", cached: "10", want: true},
		"a cache from before the write":            {wrote: "10", cached: "9"},
		"versions that cannot be compared":         {wrote: "10", cached: "x", want: true},
		"a write whose version cannot be compared": {wrote: "x", cached: "9", want: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var s Store[string]
			if tc.wrote != "" {
				s.WroteAt("app", tc.wrote)
			}
			if got := s.IsReady("app", tc.cached); got != tc.want {
				t.Errorf("got %v", got)
			}
			if !s.IsReady("other", "1") {
				t.Error("another object has to wait")
			}
		})
	}
}

func TestAStoreForgetsWhatTheCacheHasShown(t *testing.T) {
	var s Store[string]
	s.WroteAt("app", "10")
	s.WroteAt("gone", "10")
	s.IsReady("app", "10")
	s.Clear("gone")
	if len(s.writes) != 0 {
		t.Errorf("remembered %v", s.writes)
	}
	if !s.IsReady("gone", "1") {
		t.Error("an object that is gone keeps its successor waiting")
	}
}
