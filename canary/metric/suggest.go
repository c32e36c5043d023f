// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"fmt"

	"github.com/sluice-cd/sluice/internal/suggest"
)

// maybe asks whether one of the known names was meant, if one is near; "" if none is.
func maybe(name string, known []string) string {
	best := suggest.Nearest(name, known)
	if best == "" {
		return ""
	}
	return fmt.Sprintf(", did you mean %s?", best)
}
