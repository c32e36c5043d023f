// SPDX-License-Identifier: Apache-2.0

package counter_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/sluice-cd/sluice/canary/judge"
	"github.com/sluice-cd/sluice/canary/judge/counter"
)

// service plays two arms that are equally good, whose pods are scraped every 15 s, each at a moment of its
// own. Some of the requests fail all the time, and many of them during an outage that both arms share.
type service struct {
	canary, primary []float64 // when each pod is first scraped
	each            float64   // requests a second of a pod
	outage          outage
}

const usualErrors, outageErrors = 0.002, 0.1

func (s service) read(seconds float64) counter.Reading {
	var all [][]counter.Sample
	for arm, pods := range map[counter.Arm][]float64{counter.Canary: s.canary, counter.Primary: s.primary} {
		for i, offset := range pods {
			scrape := offset + 15*math.Floor((seconds-offset)/15)
			failing := max(0, min(scrape, s.outage.ends)-s.outage.begins)
			requests := math.Floor(s.each * (scrape + 100))
			errors := math.Floor(usualErrors*requests + (outageErrors-usualErrors)*s.each*failing)
			all = append(all, scraped(at(scrape), pod(arm, fmt.Sprint(arm, i), requests, errors)))
		}
	}
	return read(seconds, all...)
}

// alarms reports whether a judge that looks at all windows fails the canary.
func alarms(t *testing.T, windows []counter.Increments) bool {
	t.Helper()
	evidence := judge.NewEvidence(1, 2)
	for _, w := range windows {
		next, err := evidence.Add(judge.Window{
			Canary:  judge.Count{Events: w.Canary.Errors, Exposure: w.Canary.Requests},
			Primary: judge.Count{Events: w.Primary.Errors, Exposure: w.Primary.Requests},
		}, 1)
		if err != nil {
			t.Fatal(err)
		}
		if evidence = next; evidence.LogFail() >= math.Log(100) {
			return true
		}
	}
	return false
}

// Whatever the moments at which pods are scraped are: taken as they come, readings alarm in many of these outages.
func TestASharedOutageIsNoRegression(t *testing.T) {
	const worlds = 100
	for _, canaries := range []int{1, 3} {
		t.Run(fmt.Sprint(canaries), func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, uint64(canaries)))
			asTheyCome, aligned := 0, 0
			for range worlds {
				s := service{each: 20 + 80*r.Float64(), outage: outage{begins: 120 + 60*r.Float64()}}
				s.outage.ends = s.outage.begins + 60 + 300*r.Float64()
				for range canaries {
					s.canary = append(s.canary, 15*r.Float64())
				}
				for range 3 + r.IntN(6) {
					s.primary = append(s.primary, 15*r.Float64())
				}
				var raw []counter.Increments
				for _, moment := range looks(90, 300, 15) {
					w, err := counter.Between(s.read(moment), s.read(moment+15), counter.Options{})
					if err != nil {
						t.Fatal(err)
					}
					raw = append(raw, w)
				}
				if alarms(t, raw) {
					asTheyCome++
				}
				if alarms(t, windows(t, counter.Cursor{}, s.read, looks(90, 300, 5)...)) {
					aligned++
				}
			}
			t.Logf("of %d outages %d are alarms as they come, and %d aligned", worlds, asTheyCome, aligned)
			if asTheyCome < worlds/20 || aligned > worlds/100 {
				t.Errorf("of %d outages %d are alarms as they come, and %d aligned", worlds, asTheyCome, aligned)
			}
		})
	}
}
