// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pmezard/go-difflib/difflib"
)

// BenchmarkNearest looks for a branch among as many as are compared. As difflib, it is the
// closest match as Python's module of that name finds it, over the same names.
func BenchmarkNearest(b *testing.B) {
	known := make([]string, most)
	for i := range known {
		known[i] = fmt.Sprintf("feature/%04d-releases", i)
	}
	const name = "feature/9999-relaeses"
	for library, nearest := range map[string]func() string{
		"ours": func() string { return Nearest(name, known) },
		"difflib": func() string {
			best, closest := "", 0.0
			match := difflib.NewMatcher(nil, strings.Split(name, "")) // it keeps what it knows of the second one
			for _, candidate := range known {
				match.SetSeq1(strings.Split(candidate, ""))
				if ratio := match.Ratio(); ratio > closest {
					best, closest = candidate, ratio
				}
			}
			return best
		},
	} {
		b.Run(library, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if got := nearest(); got != known[most-1] {
					b.Fatal(got)
				}
			}
		})
	}
}
