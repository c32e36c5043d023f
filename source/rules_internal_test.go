// SPDX-License-Identifier: Apache-2.0

package source

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A few rules and files that lie deep took a core for as long as the source may take.
func TestComparingFilesWithIgnoreRulesIsBounded(t *testing.T) {
	deep := strings.Repeat(strings.Repeat("b", 250)+"/", 16)
	var paths []string
	for i := range 100 {
		paths = append(paths, fmt.Sprint(deep, i))
	}
	long, common := strings.Repeat("*"+strings.Repeat("a", 253)+"\n", 250), strings.Repeat("/docs/**/*.md\n", 500)
	for name, tc := range map[string]struct {
		ignore string
		paths  []string
		want   error
	}{
		"patterns that are compared at each letter": {long, paths, ErrRules},
		"the same of files that lie flat":           {long, []string{"a/b/c"}, nil},
		"more rules than anybody writes":            {common, slices.Repeat([]string{"docs/of/the/application/page.md"}, 20), nil},
	} {
		t.Run(name, func(t *testing.T) {
			rules, err := NewIgnore(&tc.ignore, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := rules.Ignored(t.Context(), slices.Values(tc.paths)); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := rules.Ignored(ctx, slices.Values(tc.paths)); err == nil {
				t.Error("it goes on when nobody waits any more")
			}
			b := &builder{ended: t.Context().Err, rules: &rules.rules, compared: maxCompared - 1}
			if _, err := b.ignores("a"); !errors.Is(err, ErrRules) {
				t.Errorf("of a tree, when all is spent: %v", err)
			}
		})
	}
}
