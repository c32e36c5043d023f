package notify

import (
	"context"
	"fmt"
	"sync"
)

// atATime is how many expressions are evaluated at once: requests share the
// processors with the controllers.
const atATime = 2

// turns are those of namespaces at something that takes the processor. A namespace
// has one at a time.
type turns struct {
	slots chan struct{}
	mu    *sync.Mutex
	of    map[string]*turn
}

type turn struct {
	slot  chan struct{}
	users int // that have it or wait for it
}

func newTurns() turns {
	return turns{slots: make(chan struct{}, atATime), mu: &sync.Mutex{}, of: map[string]*turn{}}
}

// take waits for the turn of a namespace and returns what ends it.
func (t *turns) take(ctx context.Context, namespace string) (func(), error) {
	own := t.enter(namespace)
	select {
	case own.slot <- struct{}{}:
	case <-ctx.Done():
		t.leave(namespace)
		return nil, fmt.Errorf("%w: %w", errBusy, ctx.Err())
	}
	select {
	case t.slots <- struct{}{}:
	case <-ctx.Done():
		<-own.slot
		t.leave(namespace)
		return nil, fmt.Errorf("%w: %w", errBusy, ctx.Err())
	}
	return func() {
		<-t.slots
		<-own.slot
		t.leave(namespace)
	}, nil
}

func (t *turns) enter(namespace string) *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := t.of[namespace]
	if own == nil {
		own = &turn{slot: make(chan struct{}, 1)}
		t.of[namespace] = own
	}
	own.users++
	return own
}

// leave forgets a namespace that nobody waits for.
func (t *turns) leave(namespace string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if own := t.of[namespace]; own != nil {
		if own.users--; own.users == 0 {
			delete(t.of, namespace)
		}
	}
}
