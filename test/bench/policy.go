// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/policy"
)

// policyResult is what choosing one of many tags costs.
type policyResult struct {
	took  time.Duration
	bytes int64 // allocated
}

// policyTags is how many tags the policy chooses from.
const policyTags = 100_000

// measurePolicy chooses by a filter that extracts a version and a semver range.
func measurePolicy() (policyResult, error) {
	tags := make([]string, policyTags)
	for i := range tags {
		tags[i] = fmt.Sprintf("main-%d.%d.%d", i%7, i/1000, i%1000)
	}
	slices.Sort(tags)
	tags = packed(tags)
	chosen, err := policy.Compile(imagev1.ImagePolicyChoice{SemVer: &imagev1.SemVerPolicy{Range: ">=1.0.0"}},
		&imagev1.TagFilter{Pattern: `^main-(?P<version>.*)$`, Extract: "$version"})
	if err != nil {
		return policyResult{}, err
	}
	run := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if chosen.Select(slices.Values(tags)).Tag == "" {
				b.Fatal("nothing was chosen")
			}
		}
	})
	r := policyResult{took: time.Duration(run.NsPerOp()), bytes: run.AllocedBytesPerOp()}
	fmt.Printf("    policy over %d tags: %v, %d KiB allocated\n", policyTags, r.took, r.bytes>>10)
	return r, nil
}

// packed is tags that lie side by side, as those of a snapshot do: scattered over
// the heap, half of what is measured would be the way to them.
func packed(tags []string) []string {
	text, at := strings.Join(tags, ""), 0
	side := make([]string, len(tags))
	for i, tag := range tags {
		side[i] = text[at : at+len(tag)]
		at += len(tag)
	}
	return side
}
