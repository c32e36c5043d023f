// SPDX-License-Identifier: Apache-2.0

// Package budget bounds what all namespaces together make the process hold in
// memory of what it reads from outside: packs, trees, manifests, request bodies.
//
// A bound on each piece is not enough, since pieces are read side by side. Before
// a piece is read, its size, or the most it may become, is acquired; work that does
// not fit waits its turn. No namespace holds more than its share, so that the one
// that asks for most keeps only itself waiting:
//
//	Acquire: larger than a share -> ErrTooLarge: waiting cannot help
//	         share of the namespace in use -> waits, and those of other namespaces pass it
//	         budget in use -> waits; who came first is next
//
// The budget is a part of the memory limit of the process (GOMEMLIMIT, see
// [runtime/debug.SetMemoryLimit]), the rest of which is for caches of the API
// server's objects, indexes and what the collector has not come to yet.
//
// golang.org/x/sync/semaphore serves in the order of arrival: one that asks for much keeps all
// behind it waiting, whoever they are, and it knows no shares of namespaces.
// TestOneWhoAsksForMuchHoldsUpOthersWithASemaphoreAndNotHere shows the difference.
package budget

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	// ErrTooLarge means that a namespace may never hold as much as was asked for.
	ErrTooLarge = errors.New("more memory than one namespace may use")
	// ErrExhausted means that there is not as much left at the moment.
	ErrExhausted = errors.New("the memory for what is read from outside is in use")
)

const (
	// withoutLimit is the budget of a process that has no memory limit.
	withoutLimit = 2 << 30
	// ofLimit and ofTotal are the parts, one in so many, of the memory limit that is
	// the budget, and of the budget that is the share of one namespace.
	ofLimit, ofTotal = 2, 2
)

// Budget is a number of bytes that namespaces share. It is safe for concurrent use.
// A nil Budget grants everything.
type Budget struct {
	total, perNamespace int64

	mu      sync.Mutex
	used    int64
	held    map[string]int64 // by namespace; without those that hold nothing
	waiting *list.List       // of *request, the first one first
}

type request struct {
	namespace string
	bytes     int64
	granted   chan struct{}
}

// Grant is memory that a namespace holds. It is safe for concurrent use; a nil
// Grant is one of a nil Budget.
type Grant struct {
	budget    *Budget
	namespace string

	// The rest is under the budget's lock.
	bytes int64
	spare int64 // of bytes, what Wait waited for and Grow has not used yet
	keeps bool  // since Wait: Shrink makes it spare
	short int64 // what bytes would have been after the Grow that failed last
	most  int64 // what bytes were when Empty was called
}

// New returns a budget of so many bytes.
func New(total int64) *Budget {
	return &Budget{total: total, perNamespace: total / ofTotal, held: map[string]int64{}, waiting: list.New()}
}

// FromMemoryLimit returns a budget of half of the memory limit of the process, or of
// 2 GiB where it has none.
func FromMemoryLimit() *Budget {
	limit := debug.SetMemoryLimit(-1)
	if limit == math.MaxInt64 {
		return New(withoutLimit)
	}
	return New(limit / ofLimit)
}

// NamespaceLimit is how many bytes one namespace may hold.
func (b *Budget) NamespaceLimit() int64 {
	if b == nil {
		return math.MaxInt64
	}
	return b.perNamespace
}

// Open returns a grant of nothing, for work that must not wait and starts anew after
// [Grant.Wait].
func (b *Budget) Open(namespace string) *Grant {
	if b == nil {
		return nil
	}
	return &Grant{budget: b, namespace: namespace}
}

// Held is how many bytes the grant holds.
func (g *Grant) Held() int64 {
	if g == nil {
		return 0
	}
	g.budget.mu.Lock()
	defer g.budget.mu.Unlock()
	return g.bytes
}

// Acquire waits until the namespace may hold so many bytes more. It returns
// [ErrTooLarge] at once when that can never be, and the context's error when it
// ends first. Whoever holds a grant must not acquire another one: it could wait for
// itself; see [Grant.Grow].
func (b *Budget) Acquire(ctx context.Context, namespace string, bytes int64) (*Grant, error) {
	if b == nil {
		return nil, nil
	}
	if bytes < 0 || bytes > b.perNamespace {
		return nil, b.tooLarge(bytes)
	}
	b.mu.Lock()
	if b.waiting.Len() == 0 && b.fits(namespace, bytes) || b.passes(namespace, bytes) {
		b.take(namespace, bytes)
		b.mu.Unlock()
		return &Grant{budget: b, namespace: namespace, bytes: bytes}, nil
	}
	r := &request{namespace, bytes, make(chan struct{})}
	at := b.waiting.PushBack(r)
	b.mu.Unlock()
	select {
	case <-r.granted:
		return &Grant{budget: b, namespace: namespace, bytes: bytes}, nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-r.granted: // meanwhile
		b.release(namespace, bytes)
	default:
		b.waiting.Remove(at)
		b.wake() // it may have kept others waiting
	}
	return nil, fmt.Errorf("waiting for %d bytes of memory: %w", bytes, ctx.Err())
}

// TryAcquire is Acquire for those who cannot wait. It returns [ErrExhausted] when there
// is not as much left, or others wait for it.
func (b *Budget) TryAcquire(namespace string, bytes int64) (*Grant, error) {
	if b == nil {
		return nil, nil
	}
	if bytes < 0 || bytes > b.perNamespace {
		return nil, b.tooLarge(bytes)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiting.Len() > 0 && !b.passes(namespace, bytes) || !b.fits(namespace, bytes) {
		return nil, ErrExhausted
	}
	b.take(namespace, bytes)
	return &Grant{budget: b, namespace: namespace, bytes: bytes}, nil
}

func (b *Budget) tooLarge(bytes int64) error {
	return fmt.Errorf("%w: %d bytes, of %d", ErrTooLarge, bytes, b.perNamespace)
}

// passes reports whether a request may be granted in spite of those that wait: all
// of them wait for the share of their own namespace, and not for the budget.
func (b *Budget) passes(namespace string, bytes int64) bool {
	for at := b.waiting.Front(); at != nil; at = at.Next() {
		first := at.Value.(*request)
		if first.namespace == namespace || b.held[first.namespace]+first.bytes <= b.perNamespace {
			return false
		}
	}
	return b.fits(namespace, bytes)
}

func (b *Budget) fits(namespace string, bytes int64) bool {
	return b.used+bytes <= b.total && b.held[namespace]+bytes <= b.perNamespace
}

func (b *Budget) take(namespace string, bytes int64) {
	b.used += bytes
	b.held[namespace] += bytes
}

// release takes bytes back and grants what fits now.
func (b *Budget) release(namespace string, bytes int64) {
	b.used -= bytes
	if b.held[namespace] -= bytes; b.held[namespace] == 0 {
		delete(b.held, namespace)
	}
	b.wake()
}

// wake grants to those who wait, in the order in which they came. A request that
// waits for the share of its namespace holds up that namespace alone; one that waits
// for the budget holds up everybody, or the large ones would never have their turn.
func (b *Budget) wake() {
	over := map[string]bool{}
	var next *list.Element
	for at := b.waiting.Front(); at != nil; at = next {
		next = at.Next()
		r := at.Value.(*request)
		switch {
		case over[r.namespace]:
		case b.held[r.namespace]+r.bytes > b.perNamespace:
			over[r.namespace] = true
		case b.used+r.bytes > b.total:
			return
		default:
			b.take(r.namespace, r.bytes)
			b.waiting.Remove(at)
			close(r.granted)
		}
	}
}

// Grow adds bytes to a grant, without waiting: the error is [ErrTooLarge] when the
// namespace may never hold as much in one grant, and else [ErrExhausted] when there
// is not as much left.
func (g *Grant) Grow(bytes int64) error {
	if g == nil {
		return nil
	}
	b := g.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	spare := min(g.spare, max(bytes, 0))
	more := bytes - spare
	if bytes < 0 || g.bytes > b.perNamespace-more {
		return b.tooLarge(g.bytes + more)
	}
	if !b.fits(g.namespace, more) {
		g.short = g.bytes + more
		return ErrExhausted
	}
	b.take(g.namespace, more)
	g.bytes += more
	g.spare -= spare
	return nil
}

// Wait is for work that Grow ended with [ErrExhausted], and that starts anew: tried again
// later it would find the memory in use as well, by those who came after it. It gives back
// all of the grant, lest two wait for each other, and waits until the grant may hold what
// it was short of. Of that, as many bytes as the work acquired at first count as used; the
// rest is for Grow, and stays with the grant until Release.
func (g *Grant) Wait(ctx context.Context, first int64) error {
	if g == nil {
		return nil
	}
	b := g.budget
	b.mu.Lock()
	bytes := min(max(g.short, 2*max(g.bytes, g.most), first), b.perNamespace)
	b.mu.Unlock()
	g.Release()
	waited, err := b.Acquire(ctx, g.namespace, bytes)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	g.bytes, g.spare, g.keeps, g.short = waited.bytes, waited.bytes-first, true, 0
	return nil
}

// Do acquires memory, gives it to work, and releases it afterwards. Work that ends with
// [ErrExhausted] starts anew once there is as much as it was short of.
func (b *Budget) Do(ctx context.Context, namespace string, bytes int64, work func(*Grant) error) error {
	grant, err := b.Acquire(ctx, namespace, bytes)
	if err != nil {
		return err
	}
	defer grant.Release()
	for {
		if err := work(grant); !errors.Is(err, ErrExhausted) {
			return err
		}
		if err := grant.Wait(ctx, bytes); err != nil {
			return err
		}
	}
}

// Shrink gives a part of a grant back, as soon as it is known to be unused.
func (g *Grant) Shrink(bytes int64) {
	if g == nil {
		return
	}
	g.budget.mu.Lock()
	defer g.budget.mu.Unlock()
	if g.keeps {
		g.spare = min(g.bytes, g.spare+max(0, bytes))
		return
	}
	g.release(bytes)
}

// Empty is Shrink for work that has nothing of the grant any more.
func (g *Grant) Empty() {
	if g == nil {
		return
	}
	g.budget.mu.Lock()
	defer g.budget.mu.Unlock()
	g.most = max(g.most, g.bytes-g.spare)
	if g.keeps {
		g.spare = g.bytes
		return
	}
	g.release(g.bytes)
}

// Without gives all of a grant back while work waits for what takes memory of the same namespace
// itself, and takes as much again. The error is that of work, or [ErrExhausted] when there is not as
// much left any more: then the grant holds nothing, and whoever has it starts anew after [Grant.Wait].
func (g *Grant) Without(work func() error) error {
	if g == nil {
		return work()
	}
	g.budget.mu.Lock()
	bytes, spare, keeps := g.bytes, g.spare, g.keeps
	g.budget.mu.Unlock()
	g.Release()
	err := work()
	if short := g.Grow(bytes); short != nil {
		return short
	}
	g.budget.mu.Lock()
	defer g.budget.mu.Unlock()
	g.spare, g.keeps = spare, keeps
	return err
}

// Release gives all of a grant back. To release it again does nothing.
func (g *Grant) Release() {
	if g == nil {
		return
	}
	g.budget.mu.Lock()
	defer g.budget.mu.Unlock()
	g.spare, g.keeps = 0, false
	g.release(math.MaxInt64)
}

func (g *Grant) release(bytes int64) {
	bytes = max(0, min(bytes, g.bytes))
	g.bytes -= bytes
	g.budget.release(g.namespace, bytes)
}

// Collectors are metrics of the budget: how much there is, is in use, and how many
// wait for it.
func (b *Budget) Collectors() []prometheus.Collector {
	gauge := func(name, help string, read func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			b.mu.Lock()
			defer b.mu.Unlock()
			return read()
		})
	}
	return []prometheus.Collector{
		gauge("sluice_memory_budget_bytes", "Memory that may be held of what is read from outside.",
			func() float64 { return float64(b.total) }),
		gauge("sluice_memory_budget_used_bytes", "Memory that is held of what is read from outside.",
			func() float64 { return float64(b.used) }),
		gauge("sluice_memory_budget_waiting", "Requests that wait for memory.",
			func() float64 { return float64(b.waiting.Len()) }),
	}
}
