// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"fmt"
	"math"
)

// Count is what one arm met during a window: how often something happened, and to how
// many it could have happened.
type Count struct {
	// Events are errors, slow requests or, for throughput, requests.
	Events float64
	// Exposure is the number of requests or, for throughput, the weight of the arm
	// multiplied by the seconds of the window.
	Exposure float64
}

// Plus returns the sum of two counts.
func (c Count) Plus(o Count) Count {
	return Count{Events: c.Events + o.Events, Exposure: c.Exposure + o.Exposure}
}

// Rate returns the events of each exposure, and 0 without exposure.
func (c Count) Rate() float64 {
	if c.Exposure == 0 {
		return 0
	}
	return c.Events / c.Exposure
}

func (c Count) check(arm string) error {
	for name, value := range map[string]float64{"events": c.Events, "exposure": c.Exposure} {
		if math.IsNaN(value) || value < 0 || value > maxCount {
			return fmt.Errorf("the %s has %v %s in a window; the number has to be between 0 and %g", arm, value, name, float64(maxCount))
		}
	}
	if c.Exposure == 0 && c.Events > 0 {
		return fmt.Errorf("the %s has %v events in a window and nobody whom they could have happened to", arm, c.Events)
	}
	return nil
}

// maxCount bounds the numbers of one window. Up to it every count is a float64
// without rounding.
const maxCount = 1 << 53

// Window is what both arms met between the same two moments.
type Window struct {
	Canary, Primary Count
}

// Check reports what is impossible about a window: negative, infinite or
// undefined numbers, and events that happened to nobody.
func (w Window) Check() error {
	if err := w.Canary.check("canary"); err != nil {
		return err
	}
	return w.Primary.check("primary")
}

// swapped exchanges the arms: what is k times as rare in one is k times as frequent
// in the other.
func (w Window) swapped() Window { return Window{Canary: w.Primary, Primary: w.Canary} }

// share is the part of the exposure that the canary has. Given that an event
// happened, and that it happens equally often in both arms, it is the probability that
// it happened in the canary.
func (w Window) share() float64 {
	total := w.Canary.Exposure + w.Primary.Exposure
	if total == 0 {
		return 0
	}
	return w.Canary.Exposure / total
}
