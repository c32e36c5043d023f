// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/sluice-cd/sluice/canary/judge/counter"
	"github.com/sluice-cd/sluice/canary/judge/replay"
	"github.com/sluice-cd/sluice/canary/judge/simulate"
)

// record writes the counters of one release of each scenario, half an hour of rest before it.
func (s *simulation) record(random *rand.Rand, scenarios []simulate.Scenario) error {
	return saveTrace(s.trace, func(write func(counter.Reading) error) error {
		begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		rest := int(30 * time.Minute / s.window)
		for _, scenario := range scenarios {
			o := simulate.Recording{Begin: begin, Before: rest, After: rest, Primaries: 4}
			if err := simulate.Record(random, scenario.Service, scenario.Release, o, write); err != nil {
				return err
			}
			begin = begin.Add(2*time.Duration(rest)*s.window + s.lasts + s.window)
		}
		return nil
	})
}

// saveTrace writes the readings of a trace to a file.
func saveTrace(path string, read func(write func(counter.Reading) error) error) error {
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("--save-trace: %w", err)
	}
	defer file.Close()
	out := bufio.NewWriter(file)
	if err := read(func(r counter.Reading) error { return replay.WriteReading(out, r) }); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("--save-trace: %w", err)
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("--save-trace: %w", err)
	}
	return nil
}
