// SPDX-License-Identifier: Apache-2.0

package metric

import "fmt"

// typos is how many letters a name may be away from the one that was meant.
const typos = 3

// maybe asks whether one of the known names was meant, if one is near; "" if none is.
func maybe(name string, known []string) string {
	best, at := "", typos+1
	for _, candidate := range known {
		if d := distance(name, candidate); d < at {
			best, at = candidate, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(", did you mean %s?", best)
}

// distance is how many bytes have to be added, removed or replaced to make one name of
// the other (Levenshtein's).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
