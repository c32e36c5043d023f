// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/sluice-cd/sluice/canary/judge/counter"
)

// Bounds of a trace.
const (
	// MaxLine is the length of a line in bytes: a reading of about 40,000 counters.
	MaxLine = 8 << 20
	// MaxReadings are two months of one every 15 seconds.
	MaxReadings = 350_000
)

// traceLine is a line of a trace.
type traceLine struct {
	At      time.Time `json:"at"`
	Source  string    `json:"source,omitempty"`
	Samples []sample  `json:"samples"`
}

// sample is a counter, as [counter.Sample] has it.
type sample struct {
	Arm      counter.Arm   `json:"arm"`
	Pod      string        `json:"pod,omitempty"`
	Instance string        `json:"instance,omitempty"`
	Class    counter.Class `json:"class"`
	Over     float64       `json:"over,omitempty"`
	Value    float64       `json:"value"`
	Scraped  time.Time     `json:"scraped,omitzero"`
}

// WriteReading appends a reading to a trace, as one line of JSON.
func WriteReading(w io.Writer, r counter.Reading) error {
	line := traceLine{At: r.At, Source: r.Source, Samples: make([]sample, 0, len(r.Samples))}
	for _, s := range r.Samples {
		line.Samples = append(line.Samples, sample(s))
	}
	return json.NewEncoder(w).Encode(line)
}

// lastingExcess is in how many readings in a row a process has to have more errors than requests for that to be no chance:
// one that began again, or whose errors are counted at another moment, has in one or two.
const lastingExcess = 3

// ReadTrace calls each with the readings of a trace, in the order that they have there. It stops at
// the first line that is none, or up to which a process has more errors than requests all the time, and at the first error of
// each, and names the line.
func ReadTrace(r io.Reader, each func(counter.Reading) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, MaxLine)
	readings, excess := 0, map[string]int{}
	for at := 1; lines.Scan(); at++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		if readings++; readings > MaxReadings {
			return fmt.Errorf("line %d: more than %d readings", at, MaxReadings)
		}
		read, err := decodeReading(lines.Bytes())
		if err == nil {
			err = noteExcess(excess, read)
		}
		if err == nil {
			err = each(read)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", at, err)
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("a line has more than %d bytes", MaxLine)
	}
	return lines.Err()
}

// noteExcess counts the readings in a row in which processes had more errors than requests, and fails once that lasts.
func noteExcess(inARow map[string]int, r counter.Reading) error {
	now, err := r.Excess()
	if err != nil {
		return err
	}
	for process := range inARow {
		if now[process] == nil {
			delete(inARow, process)
		}
	}
	for _, process := range slices.Sorted(maps.Keys(now)) {
		if inARow[process]++; inARow[process] >= lastingExcess {
			return now[process]
		}
	}
	return nil
}

func decodeReading(text []byte) (counter.Reading, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var line traceLine
	if err := decoder.Decode(&line); err != nil {
		return counter.Reading{}, fmt.Errorf("reading it as {at, samples}: %w", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return counter.Reading{}, errors.New("something follows the reading: a line has one")
	}
	if line.At.IsZero() {
		return counter.Reading{}, errors.New("at is required: when the counters were read")
	}
	read := counter.Reading{At: line.At, Source: line.Source, Samples: make([]counter.Sample, 0, len(line.Samples))}
	for _, s := range line.Samples {
		read.Samples = append(read.Samples, counter.Sample(s))
	}
	return read, nil
}
