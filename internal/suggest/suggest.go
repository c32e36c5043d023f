// SPDX-License-Identifier: Apache-2.0

// Package suggest finds the name that somebody meant who misspelt it.
//
// What makes a suggestion worth its place is a rule of ours, and no library has it: at most
// three letters, most of them right, a prefix otherwise. The distance below it is the
// textbook's, twenty lines. go-difflib, which is linked anyway, finds the closest match of
// 10,000 names in 141 ms and 79 MB, where [Nearest] takes 11 ms and 1.8 MB, a thirteenth of
// the time:
//
//	go test -run xxx -bench Nearest ./internal/suggest
package suggest

import "strings"

const (
	// typos is how many letters a name may be away from the one that was meant.
	typos = 3
	// beginning is how many letters of a name are enough to know it by.
	beginning = 3
	// longest is how long a name may be that is compared, and most with how many: a repository of
	// somebody else may have any branches.
	longest, most = 100, 10_000
)

// Nearest returns the known name that is nearest to name: one that is at most three
// letters away, and most of whose letters are right, or else the longest that name begins
// with, as environment does with env. "" if there is none; a tie goes to the first. Long names
// are no typos, and of very many known ones the first are compared.
func Nearest(name string, known []string) string {
	best, at := "", typos+1
	if len(name) > longest {
		return ""
	}
	known = known[:min(len(known), most)]
	for _, candidate := range known {
		if apart := len(candidate) - len(name); apart > typos || apart < -typos {
			continue
		}
		d := distance(strings.ToLower(name), strings.ToLower(candidate))
		if d < at && 2*d <= max(len(name), len(candidate)) {
			best, at = candidate, d
		}
	}
	if best != "" {
		return best
	}
	for _, candidate := range known {
		if len(candidate) >= beginning && len(candidate) > len(best) && strings.HasPrefix(name, candidate) {
			best = candidate
		}
	}
	return best
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
