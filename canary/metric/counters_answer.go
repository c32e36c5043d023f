// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/sluice-cd/sluice/canary/judge/counter"
)

// maxCounterSeries is how many series a reading may have: two arms of a hundred processes each with forty
// buckets.
const maxCounterSeries = 10_000

// countersAnswer reads what a server says to a query for counters.
type countersAnswer struct {
	at time.Time
	// pod are labels, one of which names the pod.
	pod []string
	// unitsPerSecond is that of the bounds of buckets.
	unitsPerSecond float64
	// sidecar is as in [proxyCounters].
	sidecar bool
	// podRequired means that a series without a pod is the author's mistake.
	podRequired bool
}

// series is one of the answer.
type labelledSample struct {
	Labels map[string]string `json:"metric"`
	Value  sample            `json:"value"`
}

// reading decodes the answer.
func (a countersAnswer) reading(body []byte) (counter.Reading, error) {
	vector, err := vectorOf(body)
	if err != nil {
		return counter.Reading{}, err
	}
	if len(vector) > maxCounterSeries {
		return counter.Reading{}, fmt.Errorf("the query returns %d series, and at most %d counters are read", len(vector), maxCounterSeries)
	}
	scrapes, jobs := map[processKey]time.Time{}, map[processKey]string{}
	for _, s := range vector {
		key := a.key(s)
		if job, seen := jobs[key.who(a.sidecar)]; !seen || key.job() < job {
			jobs[key.who(a.sidecar)] = key.job()
		}
		if s.Labels[classLabel] != scrapeTime {
			continue
		}
		seconds, err := s.Value.value()
		if err != nil {
			return counter.Reading{}, err
		}
		scrapes[key] = time.UnixMilli(int64(math.Round(seconds * 1000))).UTC()
	}
	r := counter.Reading{At: a.at}
	for _, s := range vector {
		key := a.key(s)
		if s.Labels[classLabel] == scrapeTime || jobs[key.who(a.sidecar)] != key.job() {
			continue // somebody else scrapes the same process
		}
		one, ok, err := a.sample(s)
		if err != nil {
			return counter.Reading{}, err
		}
		if ok {
			one.Scraped = scrapes[key]
			r.Samples = append(r.Samples, one)
		}
	}
	slices.SortFunc(r.Samples, compareSamples)
	return r, r.Check()
}

// processKey is a process as a job scrapes it.
type processKey struct{ arm, pod, instance, jobName string }

// job orders those that scrape the same process.
func (k processKey) job() string { return k.jobName + "\x00" + k.instance }

// who is the process, whoever scrapes it.
func (k processKey) who(sidecar bool) processKey {
	if sidecar && k.pod != "" {
		return processKey{arm: k.arm, pod: k.pod}
	}
	return processKey{arm: k.arm, pod: k.pod, instance: k.instance}
}

func (a countersAnswer) key(s labelledSample) processKey {
	key := processKey{arm: s.Labels[armLabel], instance: s.Labels["instance"], jobName: s.Labels["job"]}
	for _, label := range a.pod {
		key.pod = cmp.Or(key.pod, s.Labels[label])
	}
	return key
}

// sample is one counter; ok is false for the bucket of all durations, which [counter.Timed]
// is as well.
func (a countersAnswer) sample(s labelledSample) (one counter.Sample, ok bool, err error) {
	key := a.key(s)
	if a.podRequired && key.pod == "" && key.instance == "" {
		return one, false, errNoPod
	}
	value, err := s.Value.value()
	if errors.Is(err, ErrNoValues) && counter.Class(s.Labels[classLabel]) == counter.Bucket {
		value, err = 0, nil // the fraction of a native histogram that has counted nothing
	}
	if err != nil {
		return one, false, err
	}
	one = counter.Sample{
		Arm: counter.Arm(key.arm), Pod: key.pod, Instance: key.instance, Class: counter.Class(s.Labels[classLabel]), Value: value,
	}
	if one.Class != counter.Bucket {
		return one, true, nil
	}
	bound, err := strconv.ParseFloat(s.Labels["le"], 64)
	if err != nil {
		return one, false, fmt.Errorf("reading a bucket: its bound is %q", excerpt(s.Labels["le"]))
	}
	one.Over = bound / a.unitsPerSecond
	return one, !math.IsInf(bound, 1), nil
}

var errNoPod = errors.New("its counters have neither a label pod nor instance, so that nobody sees when one begins again: write sum by (pod)")

func compareSamples(a, b counter.Sample) int {
	return cmp.Or(cmp.Compare(a.Arm, b.Arm), cmp.Compare(a.Pod, b.Pod), cmp.Compare(a.Instance, b.Instance),
		cmp.Compare(a.Class, b.Class), cmp.Compare(a.Over, b.Over))
}

// vectorOf reads an answer that has to be a vector, which may be empty.
func vectorOf(body []byte) ([]labelledSample, error) {
	var answer struct {
		Error string `json:"error"`
		Data  struct {
			ResultType string          `json:"resultType"`
			Result     json.RawMessage `json:"result"`
		} `json:"data"`
	}
	if err := decode(body, &answer, "a Prometheus API"); err != nil {
		return nil, err
	}
	switch {
	case answer.Error != "":
		return nil, fmt.Errorf("the server answered: %s", excerpt(answer.Error))
	case answer.Data.ResultType != "vector":
		return nil, errors.New("the query returns no vector of counters")
	}
	var vector []labelledSample
	if err := json.Unmarshal(answer.Data.Result, &vector); err != nil {
		return nil, errors.New("reading a vector: it is none")
	}
	return vector, nil
}
