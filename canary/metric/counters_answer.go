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
	time time.Time
	// pod are labels, one of which names the pod.
	pod []string
	// unitsPerSecond is that of the bounds of buckets.
	unitsPerSecond float64
	// sidecar is as in [proxyCounters].
	sidecar bool
	// podRequired means that a series without a pod is the author's mistake.
	podRequired bool
}

// labelledSample is one of the answer.
type labelledSample struct {
	Labels counterLabels `json:"metric"`
	Value  sample        `json:"value"`
}

// counterLabels are those that queries for counters leave; a map of them would be most of what
// a reading allocates.
type counterLabels struct {
	Arm      string `json:"sluice_arm"`
	Class    string `json:"sluice_class"`
	Bound    string `json:"le"`
	Job      string `json:"job"`
	Instance string `json:"instance"`

	Pod            string `json:"pod"`
	KubernetesPod  string `json:"kubernetes_pod_name"`
	ControllerPod  string `json:"controller_pod"`
	DestinationPod string `json:"destination_pod"`
	Cluster        string `json:"envoy_cluster_name"`
}

// pod is the label of that name, if it is one of those that name pods.
func (l *counterLabels) pod(label string) string {
	switch label {
	case "pod":
		return l.Pod
	case "kubernetes_pod_name":
		return l.KubernetesPod
	case "controller_pod":
		return l.ControllerPod
	case "destination_pod":
		return l.DestinationPod
	case "envoy_cluster_name":
		return l.Cluster
	default:
		return ""
	}
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
		if s.Labels.Class != scrapeTime {
			continue
		}
		seconds, err := s.Value.value()
		if err != nil {
			return counter.Reading{}, err
		}
		scrapes[key] = time.UnixMilli(int64(math.Round(seconds * 1000))).UTC()
	}
	r := counter.Reading{At: a.time}
	for _, s := range vector {
		key := a.key(s)
		if s.Labels.Class == scrapeTime || jobs[key.who(a.sidecar)] != key.job() {
			continue // somebody else scrapes the same process
		}
		one, err := a.sample(s)
		if err != nil {
			return counter.Reading{}, err
		}
		one.Scraped = scrapes[key]
		r.Samples = append(r.Samples, one)
	}
	slices.SortFunc(r.Samples, compareSamples)
	if err := r.Check(); err != nil {
		return counter.Reading{}, err
	}
	return r, nil
}

// processKey is a process as a job scrapes it.
type processKey struct{ arm, pod, instance, jobName string }

// job orders those that scrape the same process.
func (k processKey) job() string { return k.jobName + "\x00" + k.instance }

// who is the process, by whichever job it is scraped.
func (k processKey) who(sidecar bool) processKey {
	if sidecar && k.pod != "" {
		return processKey{arm: k.arm, pod: k.pod}
	}
	return processKey{arm: k.arm, pod: k.pod, instance: k.instance}
}

func (a countersAnswer) key(s labelledSample) processKey {
	key := processKey{arm: s.Labels.Arm, instance: s.Labels.Instance, jobName: s.Labels.Job}
	for _, label := range a.pod {
		key.pod = cmp.Or(key.pod, s.Labels.pod(label))
	}
	return key
}

// sample is one counter. The bucket of all durations is [counter.Timed].
func (a countersAnswer) sample(s labelledSample) (one counter.Sample, err error) {
	key := a.key(s)
	if a.podRequired && key.pod == "" && key.instance == "" {
		return one, errNoPod
	}
	value, err := s.Value.value()
	if errors.Is(err, ErrNoValues) && counter.Class(s.Labels.Class) == counter.Bucket {
		value, err = 0, nil // the fraction of a native histogram that has counted nothing
	}
	switch {
	case errors.Is(err, ErrNoValues):
		return one, fmt.Errorf("the counter of %s of %s of the %s is no number", s.Labels.Class, cmp.Or(key.pod, key.instance), key.arm)
	case err != nil:
		return one, err
	}
	one = counter.Sample{
		Arm: counter.Arm(key.arm), Pod: key.pod, Instance: key.instance, Class: counter.Class(s.Labels.Class), Value: value,
	}
	if one.Class != counter.Bucket {
		return one, nil
	}
	bound, err := strconv.ParseFloat(s.Labels.Bound, 64)
	switch {
	case err != nil:
		return one, fmt.Errorf("reading a bucket: its bound is %q", excerpt(s.Labels.Bound))
	case math.IsInf(bound, 1):
		one.Class = counter.Timed
	default:
		one.Over = bound / a.unitsPerSecond
	}
	return one, nil
}

var errNoPod = errors.New("its counters have neither a label pod nor instance, so that nobody sees when one begins again: " +
	"write sum by (pod)")

func compareSamples(a, b counter.Sample) int {
	return cmp.Or(cmp.Compare(a.Arm, b.Arm), cmp.Compare(a.Pod, b.Pod), cmp.Compare(a.Instance, b.Instance),
		cmp.Compare(a.Class, b.Class), cmp.Compare(a.Over, b.Over))
}

// vectorOf reads an answer that has to be a vector, which may be empty.
func vectorOf(body []byte) ([]labelledSample, error) {
	answer, err := decodeResult(body)
	switch {
	case err != nil:
		return nil, err
	case answer.ResultType != "vector":
		return nil, errors.New("the query returns no vector of counters")
	case answer.incomplete() != "": // a counter that is missing and comes back looks as if all of it had happened in between
		return nil, fmt.Errorf("the server says that its answer is not complete: %s", answer.incomplete())
	}
	var vector []labelledSample
	if err := json.Unmarshal(answer.Result, &vector); err != nil {
		return nil, errors.New("reading a vector: it is none")
	}
	return vector, nil
}
