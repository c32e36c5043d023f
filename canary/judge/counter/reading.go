// SPDX-License-Identifier: Apache-2.0

package counter

import (
	"fmt"
	"math"
	"time"
)

// Arm is one of the two revisions that are compared.
type Arm string

// The arms.
const (
	Canary  Arm = "canary"
	Primary Arm = "primary"
)

// Class is what a counter counts.
type Class string

const (
	// Requests are all requests or, for other workloads, all that an event could have
	// happened to.
	Requests Class = "requests"
	// Errors counts the requests that failed.
	Errors Class = "errors"
	// Timed are the requests that a histogram has, of any duration. It may have fewer than
	// there are requests.
	Timed Class = "timed"
	// Bucket counts the requests that took no longer than [Sample.Over].
	Bucket Class = "bucket"
)

// Sample is the value of one counter of one process.
type Sample struct {
	Arm Arm
	// Pod is the pod that counts: one of the arm or, where proxies count, one of the proxy.
	// Empty if nobody says which.
	Pod string
	// Instance tells the processes of a pod apart, such as the address that is scraped.
	Instance string
	Class    Class
	// Over is the upper bound of a [Bucket] in seconds, and 0 for other classes.
	Over  float64
	Value float64
	// Scraped is when the process said so; zero if the server does not tell.
	Scraped time.Time
}

// Reading is what a server said about both arms, at one time.
type Reading struct {
	At time.Time
	// Source names what was asked. Readings of another source have other counters, with which
	// nothing can be compared.
	Source string
	// CountedBy names who has counted, for people: pods, or proxies of traefik.
	CountedBy string
	// Hint is who was asked, and what may be missing there, in words for people who find nothing in it; empty where
	// there is nothing to say.
	Hint    string
	Samples []Sample
}

// process names a process that exposes counters: when it restarts, all of them begin again at 0.
type process struct{ pod, instance string }

// unit are the counters that one process has for one arm: gateways count both.
type unit struct {
	arm Arm
	process
}

func (u unit) String() string {
	name := u.pod
	if name == "" {
		name = u.instance
	}
	return fmt.Sprintf("%s of the %s", name, u.arm)
}

// counters are the values of a unit.
type counters struct {
	requests, errors float64
	timed            float64
	buckets          map[float64]float64 // by bound; nil without a histogram
	scraped          time.Time
}

// maxValue is more than any process counts, at a thousand million a second for a hundred years.
const maxValue = 1 << 62

// Check reports what no server says about counters: no number, less than nothing, or
// the same counter twice.
func (r Reading) Check() error {
	_, err := r.units()
	return err
}

// Excess are the processes that have counted more errors than requests, by name: what such a process calls errors is not
// among what it calls requests, or it has just begun again. Windows leave it out. It fails on what [Reading.Check] reports.
func (r Reading) Excess() (map[string]error, error) {
	units, err := r.units()
	found := map[string]error{}
	for u, c := range units {
		if c.errors > c.requests*(1+rounding) {
			found[u.String()] = fmt.Errorf("%s has %v errors and %v requests: errors have to be among the requests", u, c.errors, c.requests)
		}
	}
	return found, err
}

// rounding is by how much sums of the same counters may differ that were added in another order.
const rounding = 1e-9

// units groups the samples.
func (r Reading) units() (map[unit]*counters, error) {
	type identity struct {
		unit
		class Class
		over  float64
	}
	units := map[unit]*counters{}
	seen := make(map[identity]struct{}, len(r.Samples))
	for _, s := range r.Samples {
		u := unit{s.Arm, process{s.Pod, s.Instance}}
		id := identity{u, s.Class, s.Over}
		if _, twice := seen[id]; twice {
			return nil, fmt.Errorf("the counter of %s of %s is there twice", s.Class, u)
		}
		seen[id] = struct{}{}
		if math.IsNaN(s.Value) || s.Value > maxValue || s.Value < 0 {
			return nil, fmt.Errorf("the counter of %s of %s is %v", s.Class, u, s.Value)
		}
		if units[u] == nil {
			units[u] = &counters{}
		}
		if err := units[u].set(s); err != nil {
			return nil, err
		}
	}
	return units, nil
}

func (c *counters) set(s Sample) error {
	if s.Arm != Canary && s.Arm != Primary {
		return fmt.Errorf("%q is neither the %s nor the %s", s.Arm, Canary, Primary)
	}
	if s.Scraped.After(c.scraped) {
		c.scraped = s.Scraped
	}
	switch s.Class {
	case Requests:
		c.requests = s.Value
	case Errors:
		c.errors = s.Value
	case Timed:
		c.timed = s.Value
	case Bucket:
		if math.IsNaN(s.Over) || math.IsInf(s.Over, 0) {
			return fmt.Errorf("a bucket of %s has the bound %v; those of all durations are %s", s.Pod, s.Over, Timed)
		}
		if c.buckets == nil {
			c.buckets = map[float64]float64{}
		}
		c.buckets[s.Over] = s.Value
	default:
		return fmt.Errorf("%q is no class of counters", s.Class)
	}
	return nil
}
