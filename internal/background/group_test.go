// SPDX-License-Identifier: Apache-2.0

package background

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// blocked is work of a group that says when it began, and ends when it is told, or with its
// context.
type blocked struct {
	begun chan context.Context
	end   chan string
}

func newBlocked() blocked { return blocked{make(chan context.Context, 10), make(chan string, 10)} }

func (b blocked) work(ctx context.Context) (string, error) {
	b.begun <- ctx
	select {
	case value := <-b.end:
		return value, nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// answer is what a call returned to one who waited.
type answer struct {
	value string
	err   error
}

func (a answer) String() string { return fmt.Sprint(a.value, " ", a.err) }

// question is what a group is asked.
type question struct {
	key        string
	since, now time.Time
	work       func(context.Context) (string, error)
}

// ask calls a group in a goroutine of its own, which waits by the time that it returns.
func ask(ctx context.Context, g *Group[string, string], q question) chan answer {
	got := make(chan answer, 1)
	go func() {
		value, err := g.DoSince(ctx, q.key, q.since, q.now, q.work)
		got <- answer{value, err}
	}()
	synctest.Wait()
	return got
}

func TestWhoJoinsACall(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	at := func(d time.Duration) time.Time { return start.Add(d) }
	for name, tc := range map[string]struct {
		key        string
		since, now time.Time
		calls      int // that have begun when both wait
		want       string
	}{
		"who asks for the same":                             {key: "a", now: at(1), calls: 1, want: "first"},
		"not who asks for another key":                      {key: "b", now: at(1), calls: 2, want: "second"},
		"who wants what was true when it began":             {key: "a", since: at(0), now: at(1), calls: 1, want: "first"},
		"not who wants what was true later":                 {key: "a", since: at(1), now: at(2), calls: 1, want: "second"},
		"not who wants what will be true, as a clock says":  {key: "a", since: at(time.Hour), now: at(2), calls: 1, want: "second"},
		"who comes at the same time, as far as clocks know": {key: "a", since: at(time.Hour), now: at(0), calls: 1, want: "first"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var g Group[string, string]
				b := newBlocked()
				first := ask(t.Context(), &g, question{key: "a", now: start, work: b.work})
				second := ask(t.Context(), &g, question{tc.key, tc.since, tc.now, b.work})
				if len(b.begun) != tc.calls {
					t.Errorf("%d calls have begun, want %d", len(b.begun), tc.calls)
				}
				b.end <- "first"
				b.end <- "second"
				if tc.key == "a" {
					if got := <-first; got != (answer{value: "first"}) {
						t.Errorf("the first got %s", got)
					}
					if got := <-second; got != (answer{value: tc.want}) {
						t.Errorf("the second got %s, want %s", got, tc.want)
					}
				} else if one, other := <-first, <-second; one == other {
					t.Errorf("both got %s", one)
				}
				if len(g.calls) > 0 {
					t.Errorf("%d calls are kept", len(g.calls))
				}
			})
		})
	}
}

func TestWhoLeavesACallLeavesItToTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[string, string]
		b := newBlocked()
		leaving, cancel := context.WithCancel(t.Context())
		first := ask(leaving, &g, question{key: "a", work: b.work})
		second := ask(t.Context(), &g, question{key: "a", work: b.work})
		cancel()
		if got := <-first; !errors.Is(got.err, context.Canceled) {
			t.Errorf("the one who left got %s", got)
		}
		if err := (<-b.begun).Err(); err != nil {
			t.Errorf("the call ended with the one who began it: %v", err)
		}
		b.end <- "value"
		if got := <-second; got != (answer{value: "value"}) {
			t.Errorf("the other got %s", got)
		}
	})
}

func TestACallThatEverybodyLeftEndsUnlessItHasATimeout(t *testing.T) {
	for name, timeout := range map[string]time.Duration{"without a timeout": 0, "with one": time.Minute} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := Group[string, string]{Timeout: timeout}
				b := newBlocked()
				leaving, cancel := context.WithCancel(t.Context())
				ask(leaving, &g, question{key: "a", work: b.work})
				cancel()
				synctest.Wait()
				ctx := <-b.begun
				if goesOn := ctx.Err() == nil; goesOn != (timeout > 0) {
					t.Errorf("it goes on: %t", goesOn)
				}
				next := ask(t.Context(), &g, question{key: "a", work: b.work})
				if joined := len(b.begun) == 0; joined != (timeout > 0) {
					t.Errorf("the next one joins it: %t", joined)
				}
				if timeout > 0 {
					time.Sleep(timeout) // of the bubble
					if got := <-next; !errors.Is(got.err, context.DeadlineExceeded) {
						t.Errorf("after the timeout: %s", got)
					}
					return
				}
				b.end <- "value"
				if got := <-next; got != (answer{value: "value"}) {
					t.Errorf("the next one got %s", got)
				}
			})
		})
	}
}

func TestAPanicOfACallIsAnErrorForAllWhoJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[string, string]
		end := make(chan struct{})
		work := func(context.Context) (string, error) { <-end; panic("no such index") }
		first := ask(t.Context(), &g, question{key: "a", work: work})
		second := ask(t.Context(), &g, question{key: "a", work: work})
		close(end)
		for _, got := range []answer{<-first, <-second} {
			if got.err == nil || !strings.Contains(got.err.Error(), "no such index") {
				t.Errorf("got %s", got)
			}
		}
		if value, err := g.Do(t.Context(), "a", immediately("value")); value != "value" || err != nil {
			t.Errorf("the next call: %q, %v", value, err)
		}
	})
}

func TestWhoHasLeftAlreadyBeginsNoCall(t *testing.T) {
	var g Group[string, string]
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := g.Do(ctx, "a", never); !errors.Is(err, context.Canceled) || len(g.calls) > 0 {
		t.Errorf("got %v, %d calls", err, len(g.calls))
	}
}

// groupAnswer is what a call of a crowd answers.
type groupAnswer struct {
	key   int
	began time.Time
}

// crowd are callers of a group. It counts calls that run beside another one for their key.
type crowd struct {
	group Group[int, groupAnswer]

	mu     sync.Mutex
	live   map[int]map[context.Context]bool
	beside int
}

func (c *crowd) begin(ctx context.Context, key int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ctx.Err() != nil { // left before it ran
		return
	}
	for other := range c.live[key] {
		if other.Err() == nil {
			c.beside++
		}
	}
	if c.live[key] == nil {
		c.live[key] = map[context.Context]bool{}
	}
	c.live[key][ctx] = true
}

func (c *crowd) end(ctx context.Context, key int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.live[key], ctx)
}

var errNowAndThen = errors.New("now and then")

// work is a call that takes a time, or fails after it.
func (c *crowd) work(key int, takes time.Duration, fails bool) func(context.Context) (groupAnswer, error) {
	return func(ctx context.Context) (groupAnswer, error) {
		c.begin(ctx, key)
		defer c.end(ctx, key)
		s := groupAnswer{key, time.Now()}
		select {
		case <-time.After(takes):
		case <-ctx.Done():
			return s, ctx.Err()
		}
		if fails {
			return s, errNowAndThen
		}
		return s, nil
	}
}

// Whatever the order of joining, leaving and ending: a key has one call at a time, nobody waits
// longer than their context, every answer is one to the question, and nothing is left.
func TestACrowdSharesCalls(t *testing.T) {
	milliseconds := func(random *rand.Rand, most int) time.Duration {
		return time.Duration(random.IntN(most)) * time.Millisecond
	}
	for _, timeout := range []time.Duration{0, 20 * time.Millisecond} {
		for seed := range uint64(300) {
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 1))
				c := &crowd{group: Group[int, groupAnswer]{Timeout: timeout}, live: map[int]map[context.Context]bool{}}
				var callers sync.WaitGroup
				for range 30 {
					key, comes, patience := random.IntN(3), milliseconds(random, 100), time.Millisecond+milliseconds(random, 50)
					work := c.work(key, milliseconds(random, 30), random.IntN(5) == 0)
					since := time.Now().Add(milliseconds(random, 100))
					callers.Go(func() {
						time.Sleep(comes) // of the bubble
						ctx, cancel := context.WithTimeout(t.Context(), patience)
						defer cancel()
						now := time.Now()
						got, err := c.group.DoSince(ctx, key, since, now, work)
						if time.Since(now) > patience {
							t.Errorf("seed %d: waited %s of %s", seed, time.Since(now), patience)
						}
						if errors.Is(err, context.Canceled) {
							t.Errorf("seed %d: joined a call that everybody had left", seed)
						}
						if err == nil && (got.key != key || got.began.Before(since) && got.began.Before(now)) {
							t.Errorf("seed %d: asked for %d since %s at %s, got %v", seed, key, since, now, got)
						}
					})
				}
				callers.Wait()
				time.Sleep(timeout)
				synctest.Wait()
				if c.beside > 0 || len(c.group.calls) > 0 || !c.group.queue.Idle() {
					t.Errorf("seed %d: %d calls beside another, and %d are left", seed, c.beside, len(c.group.calls))
				}
			})
		}
	}
}
