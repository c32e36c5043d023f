// SPDX-License-Identifier: Apache-2.0

package template

import (
	"errors"
	"runtime"
	"testing"
)

// maxAllocated is what one run may make in all, twice what it may spend.
const maxAllocated = 64 << 20

// A template of forty bytes took 200 MB: what a function made was paid for when it was
// there, and by its length.
func TestNoFunctionMakesMuchMoreThanItCosts(t *testing.T) {
	for name, tc := range map[string]struct {
		source string
		want   error
	}{
		"many pieces":                {`{{ $x := split "," (repeat 500000 ",") }}`, ErrBudget},
		"as many pieces as may be":   {`{{ $x := split "," (repeat 100000 ",") }}`, nil},
		"pieces that fill the work":  {`{{ $x := split "," (repeat 220000 ",") }}`, ErrBudget},
		"pieces by an expression":    {`{{ $x := regexSplit "," (repeat 1000000 ",") -1 }}`, ErrBudget},
		"what an expression finds":   {`{{ $x := regexFindAll "," (repeat 1000000 ",") -1 }}`, ErrBudget},
		"the same, as far as may be": {`{{ $x := regexFindAll "," (repeat 120000 ",") -1 }}`, nil},
		"decoded numbers":            {`{{ $x := fromJson (cat "[" (repeat 1900000 "1,") "1]") }}`, ErrBudget},
		"decoded lists":              {`{{ $x := fromJson (cat "[" (repeat 900000 "[],") "1]") }}`, ErrBudget},
		"decoded maps":               {`{{ $x := mustFromJson (cat "[" (repeat 500000 "{\"\":1},") "1]") }}`, ErrBudget},
		"as many maps as may be":     {`{{ $x := fromJson (cat "[" (repeat 40000 "{\"\":1},") "1]") }}`, nil},
		"encoded controls":           {`{{ $x := toJson (repeat 4000000 "\x01") }}`, ErrBudget},
		"as many as may be":          {`{{ $x := toPrettyJson (repeat 600000 "\x01") }}`, nil},
		"encoded without HTML":       {`{{ $x := toRawJson (repeat 4000000 "\x01") }}`, ErrBudget},
		"escaped for a script":       {`{{ $x := js (repeat 4000000 "\x01") }}`, ErrBudget},
		"escaped for a page":         {`{{ $x := html (repeat 4000000 "\"") }}`, ErrBudget},
		"quoted":                     {`{{ $x := quote (repeat 2000000 "\x01") }}`, ErrBudget},
		"a copy":                     {`{{ $x := deepCopy (until 120000) }}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			tmpl, err := Language{Name: "text", Functions: Functions()}.Parse(tc.source)
			if err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err = tmpl.Execute(t.Context(), nil)
			runtime.ReadMemStats(&after)
			if !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
				t.Errorf("got %v", err)
			}
			if made := after.TotalAlloc - before.TotalAlloc; made > maxAllocated {
				t.Errorf("made %d MiB", made>>20)
			}
		})
	}
}
