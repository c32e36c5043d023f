// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/internal/budget"
)

// TestEveryProxyThatAnswersChecksHasARowOfCounters also holds rows to be of use to somebody.
func TestEveryProxyThatAnswersChecksHasARowOfCounters(t *testing.T) {
	used := map[string]bool{}
	for _, by := range provider.Implementations() {
		used[by.Queries.Folder] = true
		if counters, ok := counterTable[by.Queries.Folder]; by.Queries.Folder != "" && (!ok || counters.noArms != "") {
			t.Errorf("%s: nothing counts in the folder %s", by.Product, by.Queries.Folder)
		}
	}
	for _, name := range provider.WithQueries() {
		p, _ := provider.Named(name)
		used[p.Queries.Folder] = true
		counters, ok := counterTable[p.Queries.Folder]
		noArms := counters.noArms != ""
		if !ok || noArms == (counters.requests != "") || !noArms && (counters.arm == "" || counters.failed == "" || counters.durations == "") {
			t.Errorf("%s: say what is counted in counters_table.go, or why nothing is", name)
		}
		for _, label := range counters.pod {
			all := counterLabels{Pod: "a", KubernetesPod: "a", ControllerPod: "a", DestinationPod: "a", Cluster: "a"}
			if all.pod(label) == "" {
				t.Errorf("%s: the label %s is not read", name, label)
			}
		}
	}
	for folder := range counterTable {
		if !used[folder] {
			t.Errorf("no provider has the counters of %s", folder)
		}
	}
}

func TestReadingsAreBoundedTogether(t *testing.T) {
	r := recordings(t)["prometheus"]
	r.spec.Type = "prometheus"
	s := newTestServer(t, r)
	s.checker.metricsServer = s.URL
	s.checker.memory = budget.New(2 * perReadByte * 64 << 10)
	c := plainCanary()
	read, err := s.checker.PrepareCounters(t.Context(), c, flaggerv1.CanaryMetric{Name: flaggerv1.RequestSuccessRate})
	if err != nil {
		t.Fatal(err)
	}
	const empty = `{"data":{"resultType":"vector","result":[]}}`
	s.answer(http.StatusOK, strings.Repeat(" ", 100<<10)+empty)
	if _, err := read(t.Context(), time.Unix(1, 0)); !errors.Is(err, budget.ErrTooLarge) {
		t.Errorf("an answer that is larger than a share: %v", err)
	}
	s.answer(http.StatusOK, strings.Repeat(" ", 20<<10)+empty)
	for range 10 { // what was read is given back
		if _, err := read(t.Context(), time.Unix(1, 0)); err != nil {
			t.Error(err)
		}
	}
	s.checker.memory = nil
	if read, err = s.checker.PrepareCounters(t.Context(), c, flaggerv1.CanaryMetric{Name: flaggerv1.RequestSuccessRate}); err != nil {
		t.Fatal(err)
	}
	s.answer(http.StatusOK, strings.Repeat(" ", 2*maxAnswer)+empty)
	if _, err := read(t.Context(), time.Unix(1, 0)); err != nil {
		t.Errorf("many counters: %v", err)
	}
	s.answer(http.StatusOK, strings.Repeat(" ", maxCounters)+empty)
	if _, err := read(t.Context(), time.Unix(1, 0)); err == nil || !strings.Contains(err.Error(), "larger than 4194304 bytes") {
		t.Errorf("too many counters: %v", err)
	}
}

// FuzzCountersAnswer lets a server say anything: a reading is one that windows can be made of, or an error.
func FuzzCountersAnswer(f *testing.F) {
	f.Add([]byte(`{"data":{"resultType":"vector","result":[` +
		`{"metric":{"sluice_arm":"canary","sluice_class":"requests","pod":"a"},"value":[1,"12"]},` +
		`{"metric":{"sluice_arm":"canary","sluice_class":"bucket","le":"+Inf","pod":"a"},"value":[1,"12"]},` +
		`{"metric":{"sluice_arm":"canary","sluice_class":"scraped","pod":"a"},"value":[1,"1793620797.25"]}]}}`))
	f.Add([]byte(`{"data":{"resultType":"vector","result":[` +
		`{"metric":{"sluice_arm":"primary","sluice_class":"bucket","le":"0.1"},"value":[1,"NaN"]}]}}`))
	f.Add([]byte(`{"data":{"resultType":"matrix","result":[]}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, a := range []countersAnswer{
			{time: now, pod: scrapedPod, unitsPerSecond: 1000, sidecar: true}, {time: now, pod: scrapedPod, unitsPerSecond: 1, podRequired: true},
		} {
			r, err := a.reading(body)
			if err == nil {
				err = r.Check()
			} else if len(r.Samples) == 0 {
				continue
			}
			if err != nil {
				t.Errorf("%q: %v", body, err)
			}
		}
	})
}
