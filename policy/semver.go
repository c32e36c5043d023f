package policy

import (
	"errors"
	"strings"

	"github.com/Masterminds/semver/v3"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
)

// versions picks the highest semantic version in a range. Of versions that
// differ only in build metadata, a leading v or leading zeros, the one whose
// text sorts last bytewise wins: v1.0.0 before 1.0.0.
type versions struct {
	constraint string
	within     *semver.Constraints
}

func compileSemVer(choice imagev1.ImagePolicyChoice) (rule, error) {
	if choice.SemVer == nil {
		return nil, nil
	}
	within, err := semver.NewConstraint(choice.SemVer.Range)
	if err != nil {
		return nil, err
	}
	return versions{constraint: choice.SemVer.Range, within: within}, nil
}

func (r versions) String() string { return "semver " + r.constraint }

func (r versions) contest() contest { return &highestVersion{within: r.within} }

type highestVersion struct {
	within  *semver.Constraints
	highest *semver.Version
	text    string
}

func (c *highestVersion) offer(text string) verdict {
	if c.highest != nil && text == c.text {
		return equals
	}
	v, err := parseVersion(text)
	if err != nil {
		return notVersion
	}
	if !c.within.Check(v) {
		return outOfRange
	}
	if c.highest != nil {
		if order := v.Compare(c.highest); order < 0 || order == 0 && text < c.text {
			return trails
		}
	}
	c.highest, c.text = v, text
	return leads
}

var errNotVersion = errors.New("not a semantic version")

// parseVersion reads a version as Flux does: three parts separated by dots, a
// leading v and leading zeros allowed (v2025.02.03-rc.1). Nearly every tag that
// is a version is a strict one, and nearly every other one starts with a letter;
// both are told apart here without the expensive lenient parser.
func parseVersion(text string) (*semver.Version, error) {
	digits := strings.TrimPrefix(text, "v")
	if digits == "" || digits[0] < '0' || digits[0] > '9' || strings.Count(text, ".") < 2 {
		return nil, errNotVersion
	}
	if v, err := semver.StrictNewVersion(digits); err == nil {
		return v, nil
	}
	return semver.NewVersion(text)
}
