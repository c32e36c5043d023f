package main

import (
	"fmt"
	"slices"
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
