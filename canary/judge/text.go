// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
)

// fixed is the number of values of a text beside those of the grid.
const fixed = 11

// maxKept is more than any number of windows lead to, each of which has at most maxCount events.
const maxKept = 1e30

// MarshalText returns all bits of the evidence as base64 of little-endian float64s,
// about 600 bytes, for the status of an object: tolerated, regression, the sums of
// estimate, information and counts, and the grid.
func (e Evidence) MarshalText() ([]byte, error) {
	values := append([]float64{e.grid.tolerated, e.grid.regression, e.numerator, e.denominator, e.information,
		e.canary.Events, e.canary.Exposure, e.primary.Events, e.primary.Exposure, e.weighed.Events, e.weighed.Exposure}, e.log...)
	raw := make([]byte, 0, 8*len(values))
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint64(raw, math.Float64bits(v))
	}
	return base64.RawStdEncoding.AppendEncode(nil, raw), nil
}

// UnmarshalText reads what [Evidence.MarshalText] wrote, and refuses anything that
// no windows lead to.
func (e *Evidence) UnmarshalText(text []byte) error {
	raw, err := base64.RawStdEncoding.DecodeString(string(text))
	if err != nil {
		return fmt.Errorf("reading evidence: %w", err)
	}
	if len(raw) != 8*(fixed+ratios) {
		return fmt.Errorf("reading evidence: it has %d bytes instead of %d", len(raw), 8*(fixed+ratios))
	}
	values := make([]float64, fixed+ratios)
	for i := range values {
		values[i] = math.Float64frombits(binary.LittleEndian.Uint64(raw[8*i:]))
		if math.IsNaN(values[i]) || math.Abs(values[i]) > maxKept || i < fixed && values[i] < 0 {
			return fmt.Errorf("reading evidence: value %d is %v", i, values[i])
		}
	}
	if err := checkRisks(values[0], values[1]); err != nil {
		return fmt.Errorf("reading evidence: %w", err)
	}
	*e = Evidence{grid: newGrid(values[0], values[1]), log: values[fixed:],
		numerator: values[2], denominator: values[3], information: values[4],
		canary:  Count{Events: values[5], Exposure: values[6]},
		primary: Count{Events: values[7], Exposure: values[8]},
		weighed: Count{Events: values[9], Exposure: values[10]}}
	return nil
}

// checkRisks reports what is wrong about the two relative risks of a test.
func checkRisks(tolerated, regression float64) error {
	switch {
	case !(tolerated >= 1 && tolerated <= 10):
		return fmt.Errorf("tolerated is %g and has to be between 1 and 10", tolerated)
	case !(regression > tolerated && regression <= 100):
		return fmt.Errorf("regression is %g and has to be more than tolerated (%g) and at most 100", regression, tolerated)
	}
	return nil
}
