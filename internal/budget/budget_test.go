// SPDX-License-Identifier: Apache-2.0

package budget

import (
	"context"
	"errors"
	"maps"
	"math"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"testing"
	"testing/synctest"
)

func acquire(t *testing.T, b *Budget, namespace string, bytes int64) *Grant {
	t.Helper()
	g, err := b.Acquire(t.Context(), namespace, bytes)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// later acquires in the background and says when it was granted.
func later(t *testing.T, b *Budget, namespace string, bytes int64) chan *Grant {
	granted := make(chan *Grant, 1)
	go func() {
		if g, err := b.Acquire(t.Context(), namespace, bytes); err == nil {
			granted <- g
		}
	}()
	synctest.Wait()
	return granted
}

func waits(t *testing.T, what string, granted chan *Grant) {
	t.Helper()
	synctest.Wait()
	if len(granted) > 0 {
		t.Errorf("%s was granted", what)
	}
}

func got(t *testing.T, what string, granted chan *Grant) *Grant {
	t.Helper()
	synctest.Wait()
	select {
	case g := <-granted:
		return g
	default:
		t.Fatalf("%s waits", what)
		return nil
	}
}

func TestOneNamespaceNeverHoldsMoreThanItsShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(100)
		if _, err := b.Acquire(t.Context(), "a", 51); !errors.Is(err, ErrTooLarge) {
			t.Errorf("more than a share: got %v", err)
		}
		first := acquire(t, b, "a", 40)
		second := later(t, b, "a", 20)
		waits(t, "more than what is left of the share", second)
		acquire(t, b, "b", 50).Release() // passes those who wait for their own share
		first.Release()
		got(t, "the second", second).Release()
		if b.used != 0 || len(b.held) != 0 {
			t.Errorf("%d bytes stay in use, %v held", b.used, b.held)
		}
	})
}

func TestALargeRequestIsNotPassedForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(100)
		a, other := acquire(t, b, "a", 40), acquire(t, b, "b", 40)
		large := later(t, b, "c", 50)
		small := later(t, b, "d", 10)
		waits(t, "the small one, which would fit,", small)
		a.Release()
		got(t, "the large one", large).Release()
		got(t, "the small one", small).Release()
		other.Release()
	})
}

func TestWhoGivesUpHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(100)
		a := acquire(t, b, "a", 50)
		defer a.Release()
		other := acquire(t, b, "b", 30)
		defer other.Release()
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error, 1)
		go func() {
			_, err := b.Acquire(ctx, "c", 50)
			failed <- err
		}()
		synctest.Wait()
		small := later(t, b, "d", 10)
		waits(t, "the small one", small)
		cancel()
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		got(t, "the small one", small).Release()
	})
}

func TestGrowingNeverWaits(t *testing.T) {
	b := New(100)
	g := acquire(t, b, "a", 10)
	other := acquire(t, b, "b", 50)
	if err := g.Grow(30); err != nil {
		t.Fatal(err)
	}
	acquire(t, b, "c", 5)
	if err := g.Grow(10); !errors.Is(err, ErrExhausted) {
		t.Errorf("more than is left: got %v", err)
	}
	if err := g.Grow(11); !errors.Is(err, ErrTooLarge) {
		t.Errorf("more than the share: got %v", err)
	}
	if err := g.Grow(math.MaxInt64); !errors.Is(err, ErrTooLarge) {
		t.Errorf("more than can be counted: got %v", err)
	}
	other.Release()
	other.Release()
	g.Shrink(40)
	if b.used != 5 {
		t.Errorf("%d bytes in use, want 5", b.used)
	}
}

func TestWorkThatCouldNotGrowStartsAnewWithWhatItNeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(100)
		other := acquire(t, b, "a", 30)
		runs, done := 0, make(chan error, 1)
		work := func(g *Grant) error {
			runs++
			for range 3 {
				if err := g.Grow(12); err != nil {
					return err
				}
				g.Shrink(4)
			}
			return nil
		}
		go func() { done <- b.Do(t.Context(), "a", 4, work) }()
		synctest.Wait()
		if runs != 1 || len(done) > 0 || b.used != 30 {
			t.Fatalf("%d runs, %d ended, %d bytes in use; want one that gave back what it held and waits", runs, len(done), b.used)
		}
		after := later(t, b, "a", 10)
		waits(t, "who came later", after)
		other.Release()
		if err := <-done; err != nil || runs != 2 {
			t.Errorf("%d runs: %v", runs, err)
		}
		got(t, "who came later", after).Release()
		if b.used != 0 || len(b.held) != 0 {
			t.Errorf("%d bytes stay in use", b.used)
		}
	})
}

func TestAGrantThatIsEmptiedKeepsWhatItWaitedFor(t *testing.T) {
	b := New(100)
	g := b.Open("a")
	other := acquire(t, b, "a", 30)
	if err := g.Grow(15); err != nil {
		t.Fatal(err)
	}
	if err := g.Grow(10); !errors.Is(err, ErrExhausted) {
		t.Fatalf("got %v", err)
	}
	if g.Empty(); b.held["a"] != 30 {
		t.Errorf("before it waited: %d bytes are held, want those of the other", b.held["a"])
	}
	other.Release()
	if err := g.Wait(t.Context(), 0); err != nil || b.held["a"] != 30 {
		t.Errorf("it waited for %d bytes, %v; want twice as many as it had, which are more than it was short of", b.held["a"], err)
	}
	for range 2 { // of all that was waited for, and again
		if err := g.Grow(30); err != nil || b.held["a"] != 30 {
			t.Errorf("%d bytes are held, %v", b.held["a"], err)
		}
		g.Empty()
	}
	if g.Release(); b.used != 0 {
		t.Errorf("%d bytes are in use", b.used)
	}
}

func TestAGrantHoldsNothingWhileItsOwnerWaitsForWhatTakesTheSame(t *testing.T) {
	b := New(100)
	g, failed := acquire(t, b, "a", 10), errors.New("failed")
	all := func() error {
		acquire(t, b, "a", 50).Release()
		return failed
	}
	if err := g.Without(all); !errors.Is(err, failed) || b.held["a"] != 10 {
		t.Errorf("it holds %d bytes after, %v", b.held["a"], err)
	}
	if err := g.Wait(t.Context(), 10); err != nil || g.spare != 10 {
		t.Fatalf("%d bytes are spare, %v", g.spare, err)
	}
	if err := g.Without(all); !errors.Is(err, failed) || b.held["a"] != 20 || g.spare != 10 || !g.keeps {
		t.Errorf("it holds %d bytes after, %d spare, %v; want what it waited for", b.held["a"], g.spare, err)
	}
	var other *Grant
	taking := func() error {
		other = acquire(t, b, "a", 40)
		return failed
	}
	if err := g.Without(taking); !errors.Is(err, ErrExhausted) || b.held["a"] != 40 || g.keeps {
		t.Errorf("others took it: %v, %d bytes are held", err, b.held["a"])
	}
	other.Release()
	if err := g.Wait(t.Context(), 10); err != nil || b.held["a"] != 20 {
		t.Errorf("it waited for %d bytes, %v; want as many as it had", b.held["a"], err)
	}
	var none *Grant
	if err := none.Without(func() error { return failed }); !errors.Is(err, failed) {
		t.Errorf("without a budget: %v", err)
	}
}

func TestDivideGivesEqualPartsOfAll(t *testing.T) {
	for name, tc := range map[string]struct {
		among []string
		want  map[string]int64
	}{
		"one":                         {[]string{"a"}, map[string]int64{"a": 10}},
		"three, of whom one is twice": {[]string{"c", "a", "b", "a"}, map[string]int64{"a": 3, "b": 3, "c": 4}},
		"nobody and one":              {[]string{"", "a"}, map[string]int64{"a": 10}},
		"nobody alone":                {[]string{""}, map[string]int64{"": 10}},
		"none":                        {nil, map[string]int64{}},
	} {
		if got := Divide(10, tc.among); !maps.Equal(got, tc.want) {
			t.Errorf("%s: got %v, want %v", name, got, tc.want)
		}
	}
}

func TestWorkThatNeedsMoreThanAShareIsNotTriedForEver(t *testing.T) {
	b := New(100)
	other := acquire(t, b, "b", 50)
	acquire(t, b, "a", 5)
	other.Release()
	runs := 0
	err := b.Do(t.Context(), "c", 10, func(g *Grant) error {
		runs++
		for {
			if err := g.Grow(5); err != nil {
				return err
			}
		}
	})
	if !errors.Is(err, ErrTooLarge) || runs != 1 {
		t.Errorf("%d runs: %v", runs, err)
	}
}

func TestTheBudgetIsHalfOfTheMemoryLimit(t *testing.T) {
	before := debug.SetMemoryLimit(1 << 30)
	defer debug.SetMemoryLimit(before)
	if b := FromMemoryLimit(); b.total != 512<<20 || b.NamespaceLimit() != 256<<20 {
		t.Errorf("got %d, share %d", b.total, b.NamespaceLimit())
	}
	debug.SetMemoryLimit(math.MaxInt64)
	if b := FromMemoryLimit(); b.total != withoutLimit {
		t.Errorf("without a limit: got %d", b.total)
	}
}

func TestANilBudgetGrantsEverything(t *testing.T) {
	var b *Budget
	g, err := b.Acquire(t.Context(), "a", math.MaxInt64)
	if err != nil || g.Grow(math.MaxInt64) != nil {
		t.Error("a nil budget refuses")
	}
	g.Shrink(1)
	g.Release()
}

func TestNothingIsLostNorHeldTwiceUnderLoad(t *testing.T) {
	b := New(1000)
	var all sync.WaitGroup
	for n := range 32 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(n)))
			for range 200 {
				g, err := b.Acquire(t.Context(), string(rune('a'+n%5)), random.Int64N(500))
				if err != nil {
					t.Error(err)
					return
				}
				_ = g.Grow(random.Int64N(50))
				b.mu.Lock()
				if b.used > b.total || b.held[g.namespace] > b.perNamespace {
					t.Errorf("%d of %d in use, %d of %d held", b.used, b.total, b.held[g.namespace], b.perNamespace)
				}
				b.mu.Unlock()
				g.Release()
			}
		})
	}
	all.Wait()
	if b.used != 0 || len(b.held) != 0 || b.waiting.Len() != 0 {
		t.Errorf("%d bytes stay in use, %v held, %d wait", b.used, b.held, b.waiting.Len())
	}
}

func TestWhoCannotWaitIsToldAtOnce(t *testing.T) {
	b := New(100)
	first, err := b.TryAcquire("a", 50)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.TryAcquire("a", 1); !errors.Is(err, ErrExhausted) {
		t.Errorf("more than the share: %v", err)
	}
	if _, err := b.TryAcquire("b", 51); !errors.Is(err, ErrTooLarge) {
		t.Errorf("more than a share at once: %v", err)
	}
	if second, err := b.TryAcquire("b", 50); err != nil {
		t.Errorf("another namespace: %v", err)
	} else {
		second.Release()
	}
	first.Release()
	if again, err := b.TryAcquire("a", 50); err != nil || again == nil {
		t.Errorf("after it was given back: %v", err)
	}
	if none, err := (*Budget)(nil).TryAcquire("a", 1<<60); err != nil || none != nil {
		t.Errorf("without a budget: %v", err)
	}
}
