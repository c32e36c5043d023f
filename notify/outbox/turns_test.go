// SPDX-License-Identifier: Apache-2.0

package outbox

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	clocktesting "k8s.io/utils/clock/testing"
)

// held is a handler whose deliveries end when they are let go.
type held struct {
	begun chan string
	end   chan struct{}
}

func (h held) Deliver(_ context.Context, e Entry) error {
	h.begun <- e.Namespace
	<-h.end
	return nil
}

func (held) Failed(context.Context, Entry, error) {}

func crowd(t *testing.T, h Handler) (*Outbox, *clocktesting.FakeClock, func(namespace string, queues int)) {
	t.Helper()
	clock := clocktesting.NewFakeClock(time.Unix(1_700_000_000, 0))
	o, err := Open(t.TempDir(), clock, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	o.Handle("test", h)
	return o, clock, func(namespace string, queues int) {
		for i := range queues {
			id := fmt.Sprint(namespace, i)
			if err := o.Put(Entry{ID: id, Kind: "test", Namespace: namespace, Receiver: id, Body: json.RawMessage(`{}`)}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Lanes took turns, so that four namespaces with hundreds of them were told of all of those
// before a fifth was told of anything.
func TestNamespacesTakeTurnsHoweverMuchOneHas(t *testing.T) {
	h := held{make(chan string, 1000), make(chan struct{})}
	o, _, put := crowd(t, h)
	for _, namespace := range []string{"a", "b", "c", "d"} {
		put(namespace, 50)
	}
	put("e", 1)
	var running sync.WaitGroup
	o.dispatch(t.Context(), &running)
	got := map[string]int{}
	for range maxRunning {
		got[<-h.begun]++
	}
	if got["e"] != 1 || got["a"] == 0 || got["d"] == 0 {
		t.Errorf("begun: %v", got)
	}
	close(h.end)
	running.Wait()
}

// A namespace was remembered for ever whose rate had not recovered when its last message was
// delivered.
func TestANamespaceIsForgottenWhenItHasNothing(t *testing.T) {
	h := held{make(chan string, 1000), make(chan struct{})}
	close(h.end)
	o, clock, put := crowd(t, h)
	put("a", 3)
	var running sync.WaitGroup
	o.dispatch(t.Context(), &running)
	running.Wait()
	if len(o.usage) != 1 {
		t.Errorf("its rate is forgotten: %v", o.usage)
	}
	clock.Step(time.Minute)
	if o.dispatch(t.Context(), &running); len(o.usage)+len(o.turns)+len(o.queues) != 0 {
		t.Errorf("left over: %v, %v, %v", o.usage, o.turns, o.queues)
	}
}
