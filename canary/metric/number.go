// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// number reads a number as JSON has it: plain, or in quotes because JSON knows
// neither NaN nor 64 bits. Null and NaN are no values.
func number(raw json.RawMessage) (float64, error) {
	text := strings.TrimSpace(string(raw))
	if text == "" || text == "null" {
		return 0, ErrNoValues
	}
	if text[0] == '"' {
		if err := json.Unmarshal(raw, &text); err != nil {
			return 0, errors.New("reading a number: it is no JSON")
		}
	}
	return parseNumber(text)
}

// parseNumber takes what is too large for a float64 as infinity, see [ErrInfinite].
func parseNumber(text string) (float64, error) {
	value, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	switch {
	case err != nil && !errors.Is(err, strconv.ErrRange):
		// It is not repeated: it may be a secret of a server that was never meant to be
		// asked for numbers.
		return 0, fmt.Errorf("reading a number: a text of %d bytes is none", len(text))
	case math.IsNaN(value):
		return 0, ErrNoValues
	default:
		return value, nil
	}
}

// last is the last value of a series that is there, or [ErrNoValues].
func last(series []json.RawMessage) (float64, error) {
	for i := len(series) - 1; i >= 0; i-- {
		if value, err := number(series[i]); !errors.Is(err, ErrNoValues) {
			return value, err
		}
	}
	return 0, ErrNoValues
}

// singleValue is the value of the only series that has one.
type singleValue struct {
	value float64
	count int
}

func (o *singleValue) add(value float64) {
	o.value = value
	o.count++
}

// read adds a value that was read, and passes over one that is not there.
func (o *singleValue) read(value float64, err error) error {
	switch {
	case err == nil:
		o.add(value)
	case !errors.Is(err, ErrNoValues):
		return err
	}
	return nil
}

func (o *singleValue) get() (float64, error) {
	switch o.count {
	case 0:
		return 0, ErrNoValues
	case 1:
		return o.value, nil
	default:
		return 0, fmt.Errorf("%w: %d", ErrManySeries, o.count)
	}
}
