// SPDX-License-Identifier: Apache-2.0

package pattern

import (
	"fmt"

	"github.com/Masterminds/semver/v3"
)

// Versions parses a range of semantic versions. The error has examples of good ones. The library
// refuses a range of more than 512 bytes, which bounds the work for each version.
func Versions(text string) (*semver.Constraints, error) {
	within, err := semver.NewConstraint(text)
	if err != nil {
		return nil, fmt.Errorf("%w: write a range such as 1.x, ~1.4 or >=1.0.0 <2.0.0", err)
	}
	return within, nil
}
