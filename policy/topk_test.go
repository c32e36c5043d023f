// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheBestFewAreThoseOfASortedList(t *testing.T) {
	rule, err := compileNumerical(byNumber("asc"))
	if err != nil {
		t.Fatal(err)
	}
	var tags []string
	for i := range 100 {
		tags = append(tags, fmt.Sprint(i), "0"+fmt.Sprint(i)) // with ties
	}
	want := rule.selector(unbounded)
	for _, tag := range tags {
		want.read(tag)
		want.keep(tag, tag)
	}
	sorted := want.best()
	random := rand.New(rand.NewPCG(1, 2))
	for _, capacity := range []int{1, 2, 7, 199, 200, 500} {
		few := rule.selector(capacity)
		shuffled := slices.Concat(tags, tags) // with repetitions
		random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		for _, tag := range shuffled {
			few.read(tag)
			few.keep(tag, tag)
		}
		if diff := cmp.Diff(sorted[:min(capacity, len(sorted))], few.best()); diff != "" {
			t.Errorf("the best %d: %s", capacity, diff)
		}
	}
}
