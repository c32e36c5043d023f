// SPDX-License-Identifier: Apache-2.0

package policy

import "testing"

// TestNumbersAreComparedExactly lists numbers from the lowest to the highest, and what equals them.
func TestNumbersAreComparedExactly(t *testing.T) {
	ordered := [][]string{
		{"-1e1073741824"}, {"-200", "-2e2", "-2_00"}, {"-30", "-0x1ep0"}, {"-3"}, {"-0.05", "-5e-2"},
		{"0", "-0", "00.00", "0e9", ".0"},
		{"1e-1073741824"},
		{"0.004"}, {"0.0405"}, {"0.05", ".05", "5e-2", "0.050"}, {"0.5", "0.50"}, {"0.51"},
		{"1", "1.", "01.0", "0x1p0"}, {"9", "0x9p0"}, {"9.09"}, {"9.9"},
		{"10", "1e1", "10.0"}, {"10.01"}, {"10.1"}, {"100", "1e2", "1_00"}, {"101"}, {"101.5"}, {"110"},
		{"1e1073741824"},
	}
	for i, some := range ordered {
		for j, others := range ordered {
			for _, a := range some {
				for _, b := range others {
					x, ok := parseNumber(a)
					y, ok2 := parseNumber(b)
					if !ok || !ok2 {
						t.Fatalf("%s or %s is no number", a, b)
					}
					if got := x.compare(&y); got < 0 != (i < j) || got > 0 != (i > j) {
						t.Errorf("%s against %s is %d", a, b, got)
					}
				}
			}
		}
	}
	for _, text := range []string{"1e1073741825", "1e-1073741825", "1e", "1ex", "0x", "0xg", "e1", "-", "1/2", "1:2"} {
		if _, ok := parseNumber(text); ok {
			t.Errorf("%s is a number", text)
		}
	}
}
