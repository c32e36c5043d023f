// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"maps"
	"time"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/shorten"
)

// Verdicts of a landing; empty while there is none yet.
const (
	VerdictVerified = "Verified"
	VerdictFailed   = "Failed"
	VerdictReplaced = "Replaced" // another bundle came before there was a verdict
)

// Landing is a bundle that a stage got.
type Landing struct {
	Bundle string               `json:"bundle"`
	At     time.Time            `json:"at"`
	Kind   sluicev1.LandingKind `json:"kind"`
	Commit string               `json:"commit,omitempty"`
	By     string               `json:"by,omitempty"`
	// Found means that the stage had the bundle when it was looked at first, so that At is
	// when that was, and nobody knows since when it is there.
	Found bool `json:"found,omitempty"`
	// Asked is when a person asked for it by a command; nil if nobody did.
	Asked *time.Time `json:"asked,omitempty"`
	// Waves is when each wave of the stage's targets had it.
	Waves map[int]time.Time `json:"waves,omitempty"`
	// Verdict, when it was given, and why.
	Verdict   string     `json:"verdict,omitempty"`
	VerdictAt *time.Time `json:"verdictAt,omitempty"`
	Reason    string     `json:"reason,omitempty"`
	// Soaked is for how long it was there and Ready until Since, and Since the moment
	// since when it is again; nil if it is not.
	Soaked Duration   `json:"soaked,omitempty"`
	Since  *time.Time `json:"since,omitempty"`
}

// Duration is a time in the notation of Go, such as 1h30m.
type Duration time.Duration

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = Duration(parsed)
	return err
}

// soaked is for how long a landing has been there and Ready.
func (l Landing) soaked(now time.Time) time.Duration {
	total := time.Duration(l.Soaked)
	if l.Since != nil {
		total += max(0, now.Sub(*l.Since))
	}
	return total
}

// mayBePartial reports whether only some targets may have the bundle for good: somebody's
// commit may be about these alone, and of what was found nobody knows how it got there.
func (l Landing) mayBePartial() bool { return l.Kind == sluicev1.LandingManual || l.Found }

// withWave is the landing where a wave has the bundle: since now if that was not known.
func (l Landing) withWave(wave int, now time.Time) Landing {
	if _, known := l.Waves[wave]; known {
		return l
	}
	waves := map[int]time.Time{wave: now}
	maps.Copy(waves, l.Waves)
	l.Waves = waves
	return l
}

// stopSoak ends the time in which a bundle soaks: it is not there any more, or not Ready.
func (l Landing) stopSoak(now time.Time) Landing {
	if l.Since != nil {
		l.Soaked, l.Since = Duration(l.soaked(now)), nil
	}
	return l
}

// origin is the commit by which a bundle landed, and its author, for people. Tags have none.
func (l Landing) origin() string {
	if l.Commit == "" {
		return orSomebody(l.By)
	}
	return "commit " + shorten.Commit(l.Commit) + " of " + orSomebody(l.By)
}
