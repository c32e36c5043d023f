// SPDX-License-Identifier: Apache-2.0

package counter_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/sluice-cd/sluice/canary/judge"
	"github.com/sluice-cd/sluice/canary/judge/counter"
)

// FuzzCursor lets processes of both arms come, go, restart and be scraped when they like. Whatever
// they do, nothing is counted twice, and the judge takes each window.
func FuzzCursor(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16})
	f.Add([]byte{0x40, 1, 0x40, 2, 0x80, 1, 0xc0, 1, 0, 9, 0, 9, 0xff, 0xff, 0, 0})
	f.Fuzz(func(t *testing.T, script []byte) {
		w := &fixture{processes: map[int]*fuzzed{}}
		c := counter.Cursor{}
		var requests, errors float64
		for i := 0; i+1 < len(script) && i < 400; i += 2 {
			w.act(script[i], script[i+1])
			next, got, ok, err := c.Add(w.read(), counter.Options{})
			if err != nil {
				t.Fatalf("step %d: %v", i/2, err)
			}
			if c = next; !ok {
				continue
			}
			checkWindow(t, got)
			requests, errors = requests+got.Canary.Requests+got.Primary.Requests, errors+got.Canary.Errors+got.Primary.Errors
		}
		if requests > w.requests*(1+1e-9)+1e-6 || errors > w.errors*(1+1e-9)+1e-6 {
			t.Errorf("%v requests and %v errors were counted, and there were %v and %v", requests, errors, w.requests, w.errors)
		}
	})
}

func checkWindow(t *testing.T, got counter.Increments) {
	t.Helper()
	if !got.To.After(got.From) {
		t.Errorf("a window from %s to %s", got.From, got.To)
	}
	whole := judge.Window{
		Canary:  judge.Count{Events: got.Canary.Errors, Exposure: got.Canary.Requests},
		Primary: judge.Count{Events: got.Primary.Errors, Exposure: got.Primary.Requests},
	}
	if err := whole.Check(); err != nil {
		t.Error(err)
	}
	for _, arm := range []counter.Counts{got.Canary, got.Primary, got.Halves[0], got.Halves[1]} {
		if arm.Errors > arm.Requests {
			t.Errorf("more errors than requests: %+v", arm)
		}
		for _, slower := range arm.Slower {
			if slower < 0 || slower > arm.Timed {
				t.Errorf("more slow requests than requests: %+v", arm)
			}
		}
	}
	if h := got.Halves[0].Requests + got.Halves[1].Requests; h != 0 && math.Abs(h-got.Primary.Requests) > 1e-6*(1+h) {
		t.Errorf("the halves have %v requests, and the primary %v", h, got.Primary.Requests)
	}
}

// fixture is processes as a server knows them.
type fixture struct {
	now              float64
	processes        map[int]*fuzzed
	requests, errors float64
}

type fuzzed struct {
	requests, errors, slow [2]float64 // by arm
	known                  [2][3]float64
	counts                 [2]bool
	scraped                float64
}

// act lets time pass, and one process do something.
func (w *fixture) act(what, amount byte) {
	w.now += 0.25 + float64(amount%32)
	id, arm := int(what%6), int(what>>3)%2
	p := w.processes[id]
	switch what >> 6 {
	case 0, 1:
		if p == nil {
			p = &fuzzed{}
			w.processes[id] = p
		}
		failed := float64(amount % 7)
		p.counts[arm] = true
		p.requests[arm] += float64(amount)
		p.errors[arm] += min(failed, float64(amount))
		p.slow[arm] += float64(amount / 3)
		w.requests, w.errors = w.requests+float64(amount), w.errors+min(failed, float64(amount))
	case 2:
		if p != nil { // it restarts
			p.requests, p.errors, p.slow = [2]float64{}, [2]float64{}, [2]float64{}
		}
	default:
		if amount > 200 {
			delete(w.processes, id)
		}
	}
	for id, p := range w.processes {
		if amount&(1<<id) == 0 {
			continue
		}
		p.scraped = w.now - float64(amount%5)/8
		for arm := range 2 {
			p.known[arm] = [3]float64{p.requests[arm], p.errors[arm], p.slow[arm]}
		}
	}
}

func (w *fixture) read() counter.Reading {
	r := counter.Reading{At: at(w.now)}
	for id, p := range w.processes {
		for arm, name := range []counter.Arm{counter.Canary, counter.Primary} {
			if !p.counts[arm] || p.scraped == 0 {
				continue
			}
			s := pod(name, fmt.Sprint(id), p.known[arm][0], p.known[arm][1])
			s = timed(s, p.known[arm][0], map[float64]float64{0.25: p.known[arm][0] - p.known[arm][2]})
			r.Samples = append(r.Samples, scraped(at(p.scraped), s)...)
		}
	}
	return r
}
