// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// maxWindow bounds how long a window may be open.
const maxWindow = 366 * 24 * time.Hour

// ErrWindow means that a window cannot be understood.
var ErrWindow = errors.New("invalid window")

// calendarWindow is a parsed window. Cron is evaluated on the clock on the wall, as if it never
// changed, and what that says is looked up in the time zone afterwards: so a start that a
// change to summer time skips is not skipped.
type calendarWindow struct {
	sluicev1.Window
	schedule cron.Schedule // nil if it does not recur
	zone     *time.Location
	until    time.Duration // of the day
}

func parseWindow(w sluicev1.Window) (calendarWindow, error) {
	c := calendarWindow{Window: w, zone: time.UTC}
	if w.Cron == "" {
		if w.From == nil || w.To == nil || !w.From.Before(w.To) {
			return c, fmt.Errorf("%w %q: it needs a cron, or a from that is before its to", ErrWindow, w.Name)
		}
		return c, nil
	}
	var wrong [2]error // both are told at once
	c.schedule, wrong[0] = parseCron(w.Cron)
	c.zone, wrong[1] = parseZone(w.TimeZone)
	if err := joinLine(wrong[:]); err != nil {
		return c, fmt.Errorf("%w %q: %w", ErrWindow, w.Name, err)
	}
	if (w.Until == "") == (w.Duration == nil) {
		return c, fmt.Errorf("%w %q: it needs one of until and duration", ErrWindow, w.Name)
	}
	if w.Duration != nil && (w.Duration.Duration <= 0 || w.Duration.Duration > maxWindow) {
		return c, fmt.Errorf("%w %q: its duration has to be more than nothing and at most a year", ErrWindow, w.Name)
	}
	if w.Until != "" {
		at, err := time.Parse("15:04", w.Until)
		if err != nil {
			return c, fmt.Errorf("%w %q: until: %q is no time of the day: write one such as 17:30", ErrWindow, w.Name, w.Until)
		}
		c.until = time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute
	}
	return c, nil
}

// cronFields are the fields of a cron, and what one may say.
var cronFields = [...]struct{ name, example string }{
	{"minute", `0, 30 or */15`}, {"hour", `9, 9-17 or */2`}, {"day of the month", `1, 1-7 or *`},
	{"month", `1, JAN or JAN-MAR`}, {"day of the week", `1, MON or MON-FRI`},
}

// parseCron refuses a time zone in front of the fields: the parser would move the hours of the
// window by it, and it panics if there is nothing behind it. What the parser says of a field is
// not passed on, since it does not name that.
func parseCron(text string) (cron.Schedule, error) {
	if strings.Contains(text, "TZ=") {
		return nil, errors.New("cron: the zone has a field of its own: name it in timeZone")
	}
	fields := strings.Fields(text)
	if len(fields) != len(cronFields) {
		return nil, fmt.Errorf("cron: %q has %d fields, and not the 5 of minute, hour, day of the month, month and day of the week: "+
			"write one such as 0 9 * * MON-FRI", text, len(fields))
	}
	parser := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)
	schedule, err := parser.Parse(text)
	if err != nil {
		for i, field := range fields {
			alone := []string{"*", "*", "*", "*", "*"}
			alone[i] = field
			if _, err := parser.Parse(strings.Join(alone, " ")); err != nil {
				return nil, fmt.Errorf("cron: the %s of %q cannot be %q: write one such as %s", cronFields[i].name, text, field, cronFields[i].example)
			}
		}
		return nil, fmt.Errorf("cron: %w", err)
	}
	if schedule.Next(time.Unix(0, 0).UTC()).IsZero() {
		return nil, errors.New("its cron never comes: correct its day or month, or leave the window out")
	}
	return schedule, nil
}

// parseZone is a zone of the IANA; nothing is UTC.
func parseZone(name string) (*time.Location, error) {
	if name == "Local" {
		return nil, errors.New("the time zone Local is that of some machine: name one, such as Europe/Zurich")
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("timeZone: %w: name one of the IANA's, such as Europe/Zurich", err)
	}
	return zone, nil
}

// joinLine joins errors in one line; nil if there are none.
func joinLine(all []error) error {
	var found error
	for _, err := range all {
		switch {
		case found == nil:
			found = err
		case err != nil:
			found = fmt.Errorf("%w; %w", found, err)
		}
	}
	return found
}

// wallClock is the clock on the wall of a zone at an instant, as if it were UTC.
func (c calendarWindow) wallClock(at time.Time) time.Time {
	at = at.In(c.zone)
	return time.Date(at.Year(), at.Month(), at.Day(), at.Hour(), at.Minute(), at.Second(), at.Nanosecond(), time.UTC)
}

// instant is when the clock on the wall shows this time for the first time, or the first
// instant after it if it never does.
func (c calendarWindow) instant(wall time.Time) time.Time {
	offsetOf := func(at time.Time) time.Duration {
		_, seconds := at.In(c.zone).Zone()
		return time.Duration(seconds) * time.Second
	}
	// The offsets that the zone has around that time; zones change by a day at most.
	before, after := offsetOf(wall.Add(-25*time.Hour)), offsetOf(wall.Add(25*time.Hour))
	for _, offset := range []time.Duration{max(before, after), min(before, after)} { // the larger one comes first
		if at := wall.Add(-offset); c.wallClock(at).Equal(wall) {
			return at
		}
	}
	start, end := wall.Add(-max(before, after)).In(c.zone).ZoneBounds()
	if at := wall.Add(-min(before, after)); !end.IsZero() && !end.After(at) {
		return end
	}
	return start
}

// opening is the last time that the window opened at or before an instant, zero if it
// never did.
func (c calendarWindow) opening(now time.Time) time.Time {
	wall := c.wallClock(now)
	if first := c.schedule.Next(wall.Add(-2 * maxWindow)); first.IsZero() || c.instant(first).After(now) {
		return time.Time{} // a day of few years takes long to look for
	}
	for back := time.Minute; back < 2*maxWindow; back *= 2 {
		var last time.Time
		for at := c.schedule.Next(wall.Add(-back)); !at.IsZero() && !at.After(wall.Add(25*time.Hour)); at = c.schedule.Next(at) {
			opens := c.instant(at)
			if opens.After(now) {
				break
			}
			last = opens
		}
		if !last.IsZero() {
			return last
		}
	}
	return time.Time{}
}

// closing is when a window that opened at this instant closes.
func (c calendarWindow) closing(opened time.Time) time.Time {
	if c.Duration != nil {
		return opened.Add(c.Duration.Duration)
	}
	wall := c.wallClock(opened)
	day := time.Date(wall.Year(), wall.Month(), wall.Day(), 0, 0, 0, 0, time.UTC)
	for closes := day.Add(c.until); ; closes = closes.Add(24 * time.Hour) {
		if at := c.instant(closes); at.After(opened) {
			return at
		}
	}
}

// open reports whether the window is open at an instant, and when that changes next.
func (c calendarWindow) open(now time.Time) (open bool, next time.Time) {
	if c.schedule == nil {
		switch {
		case now.Before(c.From.Time):
			return false, c.From.Time
		case now.Before(c.To.Time):
			return true, c.To.Time
		}
		return false, time.Time{}
	}
	if opened := c.opening(now); !opened.IsZero() {
		if closes := c.closing(opened); now.Before(closes) {
			return true, closes
		}
	}
	// What the wall showed before it shows for the first time before now, also around a change.
	for at := c.schedule.Next(c.wallClock(now).Add(-time.Second)); !at.IsZero(); at = c.schedule.Next(at) {
		if opens := c.instant(at); opens.After(now) {
			return false, opens
		}
	}
	return false, time.Time{}
}

func (c calendarWindow) about(scope sluicev1.WindowScope) bool {
	if len(c.AppliesTo) == 0 {
		return scope == sluicev1.WindowPromotes
	}
	return slices.Contains(c.AppliesTo, scope)
}

// Calendar is the windows of a stage, or of a freeze.
type Calendar struct{ windows []calendarWindow }

// ParseCalendar fails with [ErrWindow], naming the window and what is wrong with it.
func ParseCalendar(windows []sluicev1.Window) (Calendar, error) {
	var parsed Calendar
	for _, w := range windows {
		c, err := parseWindow(w)
		if err != nil {
			return Calendar{}, err
		}
		parsed.windows = append(parsed.windows, c)
	}
	return parsed, nil
}

// Opening says whether a stage may be written to.
type Opening struct {
	Open bool
	// Window that decides, if any does.
	Window string
	// Next is when any window changes; zero is never.
	Next time.Time
}

// edge is how a window stands, and when that changes; zero is never.
type edge struct {
	open bool
	next time.Time
}

// edges are those of the windows about something at an instant. What was known before, and
// has not changed since, is not looked for again: a schedule that comes once in years takes
// milliseconds.
func (c Calendar) edges(now time.Time, scope sluicev1.WindowScope, known []edge) []edge {
	found := make([]edge, len(c.windows))
	for i, w := range c.windows {
		switch {
		case !w.about(scope):
		case known != nil && (known[i].next.IsZero() || known[i].next.After(now)):
			found[i] = known[i]
		default:
			found[i].open, found[i].next = w.open(now)
		}
	}
	return found
}

// At says whether the windows allow something at an instant: a Deny window that is open
// forbids it, and if there are Allow windows one of them has to be open.
func (c Calendar) At(now time.Time, scope sluicev1.WindowScope) Opening {
	return c.opening(c.edges(now, scope, nil), scope)
}

// opening is what the windows together allow where each stands like this.
func (c Calendar) opening(edges []edge, scope sluicev1.WindowScope) Opening {
	result := Opening{Open: true}
	denied, allowed, allows := "", "", 0
	first := ""
	for i, w := range c.windows {
		if !w.about(scope) {
			continue
		}
		open, next := edges[i].open, edges[i].next
		if !next.IsZero() && (result.Next.IsZero() || next.Before(result.Next)) {
			result.Next = next
		}
		switch {
		case w.Kind == sluicev1.WindowDeny && open:
			denied = cmp.Or(denied, w.Name)
		case w.Kind == sluicev1.WindowAllow:
			allows++
			first = cmp.Or(first, w.Name)
			if open {
				allowed = cmp.Or(allowed, w.Name)
			}
		}
	}
	switch {
	case denied != "":
		result.Open, result.Window = false, denied
	case allows > 0 && allowed == "":
		result.Open, result.Window = false, first
	default:
		result.Window = allowed
	}
	return result
}

// maxEdges bounds how far ahead the next opening is looked for.
const maxEdges = 500

// NextOpen is when the windows allow something next, from an instant at which they do
// not; zero if that is never, or too far away.
func (c Calendar) NextOpen(now time.Time, scope sluicev1.WindowScope) time.Time {
	at, edges := now, []edge(nil)
	for range maxEdges {
		edges = c.edges(at, scope, edges)
		opening := c.opening(edges, scope)
		if opening.Open {
			return at
		}
		if opening.Next.IsZero() {
			return time.Time{}
		}
		at = opening.Next
	}
	return time.Time{}
}
