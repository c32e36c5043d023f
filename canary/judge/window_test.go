// SPDX-License-Identifier: Apache-2.0

package judge_test

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-cd/sluice/canary/judge"
)

func TestRates(t *testing.T) {
	for name, tc := range map[string]struct {
		count judge.Count
		want  float64
	}{
		"five of a hundred":     {judge.Count{Events: 5, Exposure: 100}, 0.05},
		"none of a hundred":     {judge.Count{Exposure: 100}, 0},
		"nobody was there":      {judge.Count{}, 0},
		"requests for a weight": {judge.Count{Events: 50, Exposure: 10}, 5},
	} {
		if got := tc.count.Rate(); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

func TestAWindowWithAsManyAsCanBeCountedIsPossible(t *testing.T) {
	const most = 1 << 53
	if err := window(most, most, 0, 1).Check(); err != nil {
		t.Error(err)
	}
	if err := window(0, most+2, 0, 1).Check(); err == nil {
		t.Error("and more are, too")
	}
}

func TestASeriesTakesAWindowForEachBoundOrNone(t *testing.T) {
	before := judge.Default().NewSeries("latency", judge.Latency, "100ms", "500ms")
	good := window(5, 1000, 2, 9000)
	for name, tc := range map[string]struct {
		windows []judge.Window
		want    string
	}{
		"a window is missing":       {[]judge.Window{good}, "metric latency has 2 bounds, and the window has 1"},
		"the second is impossible":  {[]judge.Window{good, window(-1, 1000, 2, 9000)}, "metric latency: the canary has -1 events in a window"},
		"the primary is impossible": {[]judge.Window{good, window(1, 1000, 2, 0)}, "metric latency: the primary has 2 events in a window"},
	} {
		after, err := before.Add(1, tc.windows...)
		if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("%s: got %v", name, err)
		}
		if before.LogFail() != 0 || after.LogFail() != 0 {
			t.Errorf("%s: something of it was added", name)
		}
	}
	after, err := before.Add(1, good, good)
	if err != nil || before.LogFail() != 0 || after.LogFail() == 0 {
		t.Errorf("before %v, after %v: %v", before.LogFail(), after.LogFail(), err)
	}
}

func TestAnImpossibleWindowIsNoEvidenceOfASplit(t *testing.T) {
	before, err := judge.NewSplit().Add(window(300, 380, 5600, 3420), 1)
	if err != nil {
		t.Fatal(err)
	}
	for name, w := range map[string]judge.Window{
		"of the canary": window(-1, 380, 5600, 3420), "of the primary": window(300, 380, math.NaN(), 3420),
	} {
		after, err := before.Add(w, 1)
		was, _ := before.Mismatch()
		is, differs := after.Mismatch()
		if err == nil || was != is || !differs {
			t.Errorf("%s: %v times, and %v before: %v", name, is, was, err)
		}
	}
}

// What somebody else wrote into a status is no evidence.
func TestTextsThatNoWindowsLeadToAreRefused(t *testing.T) {
	e, err := judge.NewEvidence(1, 2).Add(window(5, 1000, 2, 9000), 1)
	if err != nil {
		t.Fatal(err)
	}
	text, err := e.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.RawStdEncoding.DecodeString(string(text))
	if err != nil {
		t.Fatal(err)
	}
	with := func(i int, value float64) string { // the text with another value at a place
		changed := append([]byte(nil), raw...)
		binary.LittleEndian.PutUint64(changed[8*i:], math.Float64bits(value))
		return base64.RawStdEncoding.EncodeToString(changed)
	}
	for name, tc := range map[string]struct{ text, want string }{
		"what was written":            {string(text), ""},
		"evidence against the canary": {with(11, 5), ""},
		"and for it":                  {with(11, -5), ""},
		"no error of the canary":      {with(5, 0), ""},
		"what is no base64":           {"%", "reading evidence: illegal base64 data"},
		"half of it":                  {string(text[:400]), "reading evidence: it has 300 bytes instead of 488"},
		"no number":                   {with(11, math.NaN()), "reading evidence: value 11 is NaN"},
		"an infinite one":             {with(12, math.Inf(-1)), "reading evidence: value 12 is -Inf"},
		"fewer than no errors":        {with(5, -1), "reading evidence: value 5 is -1"},
		"fewer than no requests":      {with(10, -1), "reading evidence: value 10 is -1"},
		"a risk that is none":         {with(0, 0.5), "reading evidence: tolerated is 0.5 and has to be between 1 and 10"},
		"a regression that is none":   {with(1, 1), "reading evidence: regression is 1 and has to be more than tolerated (1) and at most 100"},
	} {
		var got judge.Evidence
		err := got.UnmarshalText([]byte(tc.text))
		if (err == nil) != (tc.want == "") || err != nil && !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestWhatADispersionKeeps(t *testing.T) {
	half := func(events, requests float64) judge.Count { return judge.Count{Events: events, Exposure: requests} }
	before := judge.Dispersion{}.Add(half(12, 1000), half(8, 1000))
	for name, tc := range map[string]struct{ got, want judge.Dispersion }{
		"a window of twenty events": {before, judge.Dispersion{Windows: 1, Sum: 0.8, Variance: 1.9, Most: 20, Noted: 1}},
		"a single event, which comes with no other": {
			judge.Dispersion{}.Add(half(1, 100), half(0, 900)), judge.Dispersion{Windows: 1, Sum: 1, Most: 1, Noted: 1}},
		"half of what it was": {
			before.Fade(), judge.Dispersion{Windows: 0.5, Sum: 0.4, Variance: 0.95, Most: 20, Noted: 0.5}},
		"what it was, after a window without events":          {before.Add(half(0, 1000), half(0, 1000)), before},
		"what it was, after one that only one half was in":    {before.Add(half(3, 1000), half(0, 0)), before},
		"what it was, after one that cannot be":               {before.Add(half(-3, 1000), half(9, 1000)), before},
		"what it was, after one with events that nobody had":  {before.Add(half(3, 0), half(3, 1000)), before},
		"what it was, after one of undefined numbers of them": {before.Add(half(math.NaN(), 1000), half(3, 1000)), before},
	} {
		if diff := cmp.Diff(tc.want, tc.got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
