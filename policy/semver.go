// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/pattern"
)

// versions picks the highest semantic version in a range. Of versions that
// differ only in build metadata, a leading v or leading zeros, the one whose
// text sorts last bytewise wins: v1.0.0 before 1.0.0.
type versions struct {
	constraint string
	within     ranges
}

func compileSemVer(choice imagev1.ImagePolicyChoice) (rule, error) {
	if choice.SemVer == nil {
		return nil, nil
	}
	checked, err := pattern.Versions(choice.SemVer.Range)
	if err != nil {
		return nil, fmt.Errorf("range: %w", err)
	}
	within, err := parseRanges(checked)
	if err != nil {
		return nil, fmt.Errorf("range: %w", err)
	}
	return versions{constraint: choice.SemVer.Range, within: within}, nil
}

func (r versions) String() string { return "semver " + r.constraint }

func (r versions) selector(capacity int) selector { return newTopK[version](r, capacity) }

func (r versions) parse(text string, into *version) result {
	if !plainVersion(text, into) {
		var ok bool
		if *into, ok = wholeVersion(text); !ok {
			return notVersion
		}
	}
	switch {
	case r.within.contain(into):
		return accepted
	case r.within.leavesOut(into):
		return prerelease
	}
	return outOfRange
}

func (r versions) compare(a, b *version) int { return a.compare(b) }

func (r versions) breakTie(a, b string) int { return lastText(a, b) }
