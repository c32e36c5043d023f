// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"errors"
	"fmt"
	"time"

	"github.com/sluice-cd/sluice/canary/judge"
	"github.com/sluice-cd/sluice/canary/judge/counter"
)

// Options say by what a recording is judged.
type Options struct {
	Settings judge.Settings
	// Metrics are the kinds that are judged; with All no release passes without any of them.
	Metrics []judge.Kind
	All     bool
	// Warmup is how long the canary's first users do not count.
	Warmup time.Duration
	// Thresholds are what the judge is compared with.
	Thresholds Thresholds
	// Counters is how readings become windows.
	Counters counter.Options
	// Gap is how long a canary has no requests until its release has ended.
	Gap time.Duration
	// History are the releases, if they are known, by the time at which they began. Without any, one
	// begins when the canary gets requests.
	History []Recorded
}

// Check reports an option that nothing can be judged by.
func (o Options) Check() error {
	if err := o.Settings.Check(); err != nil {
		return err
	}
	if len(o.Metrics) == 0 {
		return errors.New("no metric is to be judged")
	}
	if o.Gap < time.Second {
		return fmt.Errorf("a gap of %s is less than a second", o.Gap)
	}
	return o.Thresholds.Check()
}

const (
	// baseline is the number of windows before a release from which its dispersion is measured.
	baseline = 360
	// maxReleases bounds what is kept of a recording.
	maxReleases = 1000
)

// Player judges the releases of a recording, reading by reading. Make one with [NewPlayer].
type Player struct {
	options  Options
	cursor   counter.Cursor
	before   []counter.Increments // at most baseline windows without a release
	current  *ongoingRelease
	releases []ReplayedRelease
}

// NewPlayer returns a player of nothing yet.
func NewPlayer(o Options) (*Player, error) { return &Player{options: o}, o.Check() }

// Add takes the next reading, which is later than the one before.
func (p *Player) Add(r counter.Reading) error {
	next, w, ok, err := p.cursor.Add(r, p.options.Counters)
	if err != nil || !ok {
		p.cursor = next
		return err
	}
	p.cursor = next
	return p.window(w)
}

// window judges a window if there is a release in it, and else learns from it what is usual.
func (p *Player) window(w counter.Increments) error {
	recorded, running := p.running(w)
	if p.current != nil && (!running || !recorded.From.Equal(p.current.release.Recorded.From)) {
		p.rest(p.current.idle...)
		p.releases, p.current = append(p.releases, p.current.finish()), nil
	}
	if !running {
		p.rest(w)
		return nil
	}
	if p.current == nil {
		if len(p.releases) == maxReleases {
			return fmt.Errorf("more than %d releases", maxReleases)
		}
		p.current = beginRelease(p, w.From, recorded)
	}
	if p.options.History == nil {
		return p.current.addUnlessIdle(w)
	}
	return p.current.add(w)
}

// rest learns from windows without a release what is usual.
func (p *Player) rest(windows ...counter.Increments) {
	p.before = append(p.before, windows...)
	p.before = p.before[max(0, len(p.before)-baseline):]
}

// running returns the release that a window is of.
func (p *Player) running(w counter.Increments) (Recorded, bool) {
	if p.options.History == nil {
		return Recorded{}, w.Canary.Requests > 0 || p.current != nil && w.To.Sub(p.current.last) < p.options.Gap
	}
	for _, h := range p.options.History {
		begins := h.From
		if !h.Begins.IsZero() {
			begins = h.Begins
		}
		if !w.Earliest().Before(begins) && (h.To.IsZero() || w.From.Before(h.To)) {
			return h, true
		}
	}
	return Recorded{}, false
}

// Releases are all so far, the oldest first. One that has not ended is judged by what there is.
func (p *Player) Releases() []ReplayedRelease {
	if p.current == nil {
		return p.releases
	}
	return append(p.releases[:len(p.releases):len(p.releases)], p.current.finish())
}
