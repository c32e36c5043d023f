// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"math/rand/v2"
	"time"
)

// Spread returns an interval that is shorter or longer by at most a part of it, such as 0.05, so that objects that
// were made at once are not looked at together for ever.
func Spread(interval time.Duration, part float64) time.Duration {
	return time.Duration(float64(interval) * (1 - part + 2*part*rand.Float64()))
}
