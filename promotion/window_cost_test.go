// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"fmt"
	"testing"
	"time"

	"github.com/robfig/cron/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// counting counts how often a schedule is asked, which takes long for a rare one.
type counting struct {
	cron.Schedule
	asked *int
}

func (c counting) Next(at time.Time) time.Time {
	*c.asked++
	return c.Schedule.Next(at)
}

// A pipeline whose windows open once in years, beside one that closes and opens each
// minute, took a worker half a minute at each look, for each of its stages.
func TestWindowsThatOpenOnceInYearsCostLittle(t *testing.T) {
	minutely := sluicev1.Window{Name: "each minute", Kind: sluicev1.WindowDeny, Cron: "* * * * *",
		Duration: &metav1.Duration{Duration: 30 * time.Second}}
	for name, rare := range map[string]string{
		"leap days": "0 0 29 2 *", "leap days that are Mondays": "0 0 29 2 1", "a day of the year": "0 0 31 12 *",
	} {
		t.Run(name, func(t *testing.T) {
			windows := []sluicev1.Window{minutely}
			for i := range 15 {
				windows = append(windows, sluicev1.Window{Name: fmt.Sprint(i), Kind: sluicev1.WindowAllow, Cron: rare,
					Duration: &metav1.Duration{Duration: time.Minute}})
			}
			for what, look := range map[string]func(Calendar, time.Time){
				"the next opening":   func(c Calendar, now time.Time) { c.NextOpen(now, sluicev1.WindowPromotes) },
				"when a freeze ends": func(c Calendar, now time.Time) { c.Freezes(now) },
			} {
				c, err := ParseCalendar(windows)
				if err != nil {
					t.Fatal(err)
				}
				asked := 0
				for i := range c.windows[1:] {
					c.windows[i+1].schedule = counting{c.windows[i+1].schedule, &asked}
				}
				look(c, time.Date(2026, 3, 1, 0, 0, 10, 0, time.UTC))
				if asked > 100*len(windows) {
					t.Errorf("%s: the rare schedules are asked %d times", what, asked)
				}
			}
		})
	}
}

// Where clocks are changed, and where a day was left out, the next opening is the one that
// a search from the day before finds.
func TestTheNextOpeningAroundAChangeOfTheClock(t *testing.T) {
	for zone, change := range map[string]time.Time{
		"Europe/Zurich":       time.Date(2026, 3, 29, 1, 0, 0, 0, time.UTC),
		"America/New_York":    time.Date(2026, 11, 1, 6, 0, 0, 0, time.UTC),
		"Australia/Lord_Howe": time.Date(2026, 4, 4, 15, 0, 0, 0, time.UTC),
		"Antarctica/Troll":    time.Date(2026, 10, 25, 1, 0, 0, 0, time.UTC),
		"Pacific/Apia":        time.Date(2011, 12, 30, 10, 0, 0, 0, time.UTC),
	} {
		for _, spec := range []string{"*/20 * * * *", "30 2 * * *", "0 0 * * *", "15 1,3 * * *"} {
			t.Run(zone+" "+spec, func(t *testing.T) {
				c, err := parseWindow(sluicev1.Window{Name: "w", Cron: spec, TimeZone: zone, Duration: &metav1.Duration{Duration: time.Second}})
				if err != nil {
					t.Fatal(err)
				}
				for now := change.Add(-30 * time.Hour); now.Before(change.Add(30 * time.Hour)); now = now.Add(7*time.Minute + time.Second) {
					open, next := c.open(now)
					if open {
						continue
					}
					want := time.Time{}
					for at := c.schedule.Next(c.wallClock(now).Add(-25 * time.Hour)); want.IsZero(); at = c.schedule.Next(at) {
						if opens := c.instant(at); opens.After(now) {
							want = opens
						}
					}
					if !next.Equal(want) {
						t.Fatalf("at %s: %s, want %s", now, next, want)
					}
				}
			})
		}
	}
}
