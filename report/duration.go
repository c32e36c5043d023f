// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"time"
)

// inWords writes a duration in its two largest units at most, as the page writes its own: 42 s, 7 min, 3 h 20 min, 2 d 4 h. What is
// less than a second is one.
func inWords(d time.Duration) string {
	const day = 24 * time.Hour
	d = max(d.Round(time.Second), time.Second)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return inTwo(d, time.Minute, "min", time.Second, "s")
	case d < day:
		return inTwo(d, time.Hour, "h", time.Minute, "min")
	default:
		return inTwo(d, day, "d", time.Hour, "h")
	}
}

// inTwo writes a duration in a unit and a smaller one, of which nothing is said if there is none.
func inTwo(d, large time.Duration, largeUnit string, small time.Duration, smallUnit string) string {
	text := fmt.Sprintf("%d %s", d/large, largeUnit)
	if rest := d % large / small; rest > 0 {
		text += fmt.Sprintf(" %d %s", rest, smallUnit)
	}
	return text
}
