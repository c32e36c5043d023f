// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"slices"
	"testing"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
)

// BenchmarkSelect chooses among 100,000 tags.
func BenchmarkSelect(b *testing.B) {
	releases, builds := make([]string, 100_000), make([]string, 100_000)
	for i := range releases {
		releases[i] = fmt.Sprintf("v%d.%d.%d", i/10_000, i/100%100, i%100)
		builds[i] = fmt.Sprintf("main-%07x-%d", i*7919, 1767225600+i)
	}
	cases := map[string]struct {
		choice imagev1.ImagePolicyChoice
		filter *imagev1.TagFilter
		tags   []string
	}{
		"semver":              {bySemVer(">=5.0.0 <9.0.0"), nil, releases},
		"alphabetical":        {byLetters("asc"), nil, builds},
		"numerical extracted": {byNumber("asc"), filterBy(`^main-[a-f0-9]+-(?P<ts>[0-9]+)$`, "$ts"), builds},
	}
	for name, bc := range cases {
		b.Run(name, func(b *testing.B) {
			p, err := Compile(bc.choice, bc.filter)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if p.Select(slices.Values(bc.tags)).Tag == "" {
					b.Fatal("nothing chosen")
				}
			}
		})
	}
}

// BenchmarkFilter compares the fast matcher with the expression that it stands for.
func BenchmarkFilter(b *testing.B) {
	fast, err := compileFilter(filterBy(`^main-[a-f0-9]+-(?P<ts>[0-9]+)$`, "$ts"))
	if err != nil {
		b.Fatal(err)
	}
	for name, f := range map[string]*filter{"fast": fast, "regexp": {pattern: fast.pattern, extract: fast.extract}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := f.text("main-0012ab9-1767225600"); !ok {
					b.Fatal("no match")
				}
			}
		})
	}
}
