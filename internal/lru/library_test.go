// SPDX-License-Identifier: Apache-2.0

package lru

import (
	"testing"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// BenchmarkHeld fills a cache that is meant for 16 MB of values of a kilobyte, of which one in a
// hundred has a megabyte, as its owner likes. Only the sizes are kept, which are the values here.
func BenchmarkHeld(b *testing.B) {
	const limit, usual, large = 16 << 20, 1 << 10, 1 << 20
	size := func(i int) int64 {
		if i%100 == 0 {
			return large
		}
		return usual
	}
	b.Run("ours", func(b *testing.B) {
		c := New(limit, func(_ int, v int64) int64 { return v })
		for i := 0; b.Loop(); i++ {
			c.Put(i, size(i))
		}
		held, _ := c.Usage()
		b.ReportMetric(float64(held)/(1<<20), "held-MB")
	})
	b.Run("golang-lru", func(b *testing.B) {
		c, err := simplelru.NewLRU[int, int64](limit/usual, nil)
		if err != nil {
			b.Fatal(err)
		}
		for i := 0; b.Loop(); i++ {
			c.Add(i, size(i))
		}
		var held int64
		for _, v := range c.Values() {
			held += v
		}
		b.ReportMetric(float64(held)/(1<<20), "held-MB")
	})
}
