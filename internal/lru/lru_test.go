// SPDX-License-Identifier: Apache-2.0

package lru

import (
	"fmt"
	"sync"
	"testing"
)

func TestACacheEvictsWhatWasUsedLongestAgo(t *testing.T) {
	c := New(80, func(_, v string) int64 { return int64(len(v)) })
	for i := range 20 {
		c.Put(fmt.Sprint("k", i), "0123456789")
		c.Put("kept", "x")
		if v, ok := c.Get("kept"); !ok || v != "x" {
			t.Fatal("a value that is used all the time was evicted")
		}
	}
	for key, want := range map[string]bool{"k0": false, "k12": false, "k13": true, "k19": true, "never": false} {
		if _, ok := c.Get(key); ok != want {
			t.Errorf("Get(%q) = %v, want %v", key, ok, want)
		}
	}
	if weight, values := c.Usage(); weight != 71 || values != 8 {
		t.Errorf("%d values weigh %d, want 8 of 71", values, weight)
	}
}

func TestAHitMakesAValueTheLastUsed(t *testing.T) {
	c := New(8, func(string, int) int64 { return 1 })
	for i := range 8 {
		c.Put(fmt.Sprint(i), i)
	}
	c.Get("0")
	c.Put("8", 8)
	_, first := c.Get("0")
	_, second := c.Get("1")
	if !first || second {
		t.Errorf("the used value is there: %v, the unused one: %v", first, second)
	}
}

func TestAValueIsCountedOnceHoweverOftenItIsPut(t *testing.T) {
	c := New(80, func(_, v string) int64 { return int64(len(v)) })
	for _, v := range []string{"12345", "1234567890", "1"} {
		c.Put("a", v)
	}
	if weight, values := c.Usage(); weight != 1 || values != 1 {
		t.Errorf("%d values weigh %d, want 1 of 1", values, weight)
	}
	c.Remove("a")
	c.Remove("a")
	if weight, values := c.Usage(); weight != 0 || values != 0 {
		t.Errorf("after Remove, %d values weigh %d", values, weight)
	}
}

func TestTheLastValueStaysHoweverLargeItIs(t *testing.T) {
	c := New(8, func(_, v string) int64 { return int64(len(v)) })
	c.Put("a", "small")
	c.Put("b", "0123456789")
	_, a := c.Get("a")
	_, b := c.Get("b")
	if a || !b {
		t.Errorf("the small value is there: %v, the last one: %v", a, b)
	}
	c.Put("c", "small")
	if weight, values := c.Usage(); weight != 5 || values != 1 {
		t.Errorf("%d values weigh %d, want 1 of 5", values, weight)
	}
}

func TestACacheIsSafeForConcurrentUse(t *testing.T) {
	c := New(100, func(int, int) int64 { return 3 })
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			for n := range 1000 {
				c.Put(n%50+i, n)
				c.Get(n % 50)
			}
		})
	}
	group.Wait()
	if weight, values := c.Usage(); weight > 100 || weight != int64(3*values) {
		t.Errorf("%d values weigh %d", values, weight)
	}
}

func TestValuesThatAreCountedAreRemovedOneByOneAndTogether(t *testing.T) {
	c := NewCounted[string, int](4)
	var removed []string
	c.Removed = func(key string, value int) { removed = append(removed, fmt.Sprint(key, value)) }
	for i, key := range []string{"a", "b", "c", "d", "e", "b"} { // a is evicted, and b replaced
		c.Put(key, i)
	}
	if !c.Any(func(_ string, v int) bool { return v == 5 }) || c.Any(func(key string, _ int) bool { return key == "a" }) {
		t.Error("Any does not say what there is")
	}
	c.RemoveFunc(func(_ string, v int) bool { return v < 4 })
	if got := fmt.Sprint(removed); got != "[a0 b1 c2 d3]" {
		t.Errorf("removed %s", got)
	}
	c.Clear()
	if weight, values := c.Usage(); weight != 0 || values != 0 || len(removed) != 6 {
		t.Errorf("%d values weigh %d after Clear, and %v were removed", values, weight, removed)
	}
}
