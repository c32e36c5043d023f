// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"errors"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

func at(t *testing.T, text string) time.Time {
	t.Helper()
	when, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return when
}

func TestWindows(t *testing.T) {
	zurich := func(cron, until string, hours int) sluicev1.Window {
		w := sluicev1.Window{Name: "w", Kind: sluicev1.WindowAllow, Cron: cron, Until: until, TimeZone: "Europe/Zurich"}
		if hours > 0 {
			w.Duration = &metav1.Duration{Duration: time.Duration(hours) * time.Hour}
		}
		return w
	}
	tests := map[string]struct {
		window sluicev1.Window
		now    string
		open   bool
		next   string
	}{
		"office hours, before": {
			zurich("0 9 * * 1-5", "17:00", 0), "2026-03-02T07:59:59Z", false, "2026-03-02T08:00:00Z",
		},
		"office hours, at their start": {
			zurich("0 9 * * 1-5", "17:00", 0), "2026-03-02T08:00:00Z", true, "2026-03-02T16:00:00Z",
		},
		"office hours, at their end": {
			zurich("0 9 * * 1-5", "17:00", 0), "2026-03-06T16:00:00Z", false, "2026-03-09T08:00:00Z",
		},
		"a night, which ends on the next day": {
			zurich("0 22 * * *", "06:00", 0), "2026-03-03T02:00:00Z", true, "2026-03-03T05:00:00Z",
		},
		"a start that summer time skips is the next instant": {
			zurich("30 2 * * *", "05:00", 0), "2026-03-29T01:00:00Z", true, "2026-03-29T03:00:00Z",
		},
		"and not the one before": {
			zurich("30 2 * * *", "05:00", 0), "2026-03-29T00:59:59Z", false, "2026-03-29T01:00:00Z",
		},
		"an end that summer time skips is the next instant": {
			zurich("0 1 * * *", "02:30", 0), "2026-03-29T00:30:00Z", true, "2026-03-29T01:00:00Z",
		},
		"a time that comes twice counts the first time": {zurich("30 2 * * *", "", 1), "2026-10-25T00:30:00Z", true, "2026-10-25T01:30:00Z"},
		"and not the second":                            {zurich("30 2 * * *", "", 1), "2026-10-25T01:30:00Z", false, "2026-10-26T01:30:00Z"},
		"a duration is elapsed time":                    {zurich("0 22 * * *", "", 8), "2026-03-29T04:59:59Z", true, "2026-03-29T05:00:00Z"},
		"once a year": {
			sluicev1.Window{Name: "w", Kind: sluicev1.WindowDeny, Cron: "0 0 24 12 *", Duration: &metav1.Duration{Duration: 72 * time.Hour}},
			"2026-12-26T10:00:00Z", true, "2026-12-27T00:00:00Z",
		},
		"from and to": {
			sluicev1.Window{
				Name: "w", Kind: sluicev1.WindowDeny,
				From: &metav1.Time{Time: epoch}, To: &metav1.Time{Time: epoch.Add(time.Hour)},
			},
			"2026-03-02T12:30:00Z", true, "2026-03-02T13:00:00Z",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := parseWindow(tc.window)
			if err != nil {
				t.Fatal(err)
			}
			open, next := c.open(at(t, tc.now))
			if open != tc.open || !next.Equal(at(t, tc.next)) {
				t.Errorf("open %v until %s, want %v until %s", open, next.UTC().Format(time.RFC3339), tc.open, tc.next)
			}
		})
	}
}

func TestDenyWinsOverAllow(t *testing.T) {
	window := func(kind sluicev1.WindowKind, cron string) sluicev1.Window {
		return sluicev1.Window{Name: string(kind), Kind: kind, Cron: cron, Duration: minutes(60)}
	}
	c, err := ParseCalendar([]sluicev1.Window{window(sluicev1.WindowAllow, "0 * * * *"), window(sluicev1.WindowDeny, "0 12 * * *")})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.At(epoch, sluicev1.WindowPromotes); got.Open || got.Window != "Deny" {
		t.Errorf("at noon: %+v", got)
	}
	if got := c.At(epoch, sluicev1.WindowRollsBack); !got.Open {
		t.Errorf("a rollback at noon: %+v", got)
	}
	if got := c.NextOpen(epoch, sluicev1.WindowPromotes); !got.Equal(epoch.Add(time.Hour)) {
		t.Errorf("it opens at %s", got)
	}
}

func TestWindowsThatCannotBeUnderstood(t *testing.T) {
	hour := minutes(60)
	for name, w := range map[string]sluicev1.Window{
		"no time at all":            {Name: "w"},
		"a cron of six fields":      {Name: "w", Cron: "0 0 * * * *", Duration: hour},
		"a day that never comes":    {Name: "w", Cron: "0 0 31 2 *", Duration: hour},
		"the zone of some machine":  {Name: "w", Cron: "0 0 * * *", Duration: hour, TimeZone: "Local"},
		"a zone that there is not":  {Name: "w", Cron: "0 0 * * *", Duration: hour, TimeZone: "Europe/Zuerich"},
		"no end":                    {Name: "w", Cron: "0 0 * * *"},
		"an end before its start":   {Name: "w", From: &metav1.Time{Time: epoch}, To: &metav1.Time{Time: epoch}},
		"a duration of two years":   {Name: "w", Cron: "0 0 * * *", Duration: minutes(2 * 366 * 24 * 60)},
		"a time of day that is not": {Name: "w", Cron: "0 0 * * *", Until: "25:00"},
		"a zone in its cron":        {Name: "w", Cron: "TZ=Europe/Zurich 0 0 * * *", Duration: hour},
		"nothing behind a zone":     {Name: "w", Cron: "CRON_TZ=0", Duration: hour}, // the parser panics
	} {
		if _, err := ParseCalendar([]sluicev1.Window{w}); !errors.Is(err, ErrWindow) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// "strconv.Atoi: parsing" was said of a day, and of the zone only when that was mended.
func TestWhatIsSaidOfAWindowThatCannotBeUnderstood(t *testing.T) {
	for name, tc := range map[string]struct {
		window sluicev1.Window
		want   string
	}{
		"a day that there is not": {sluicev1.Window{Cron: "0 9 * * MON-FRY"},
			`cron: the day of the week of "0 9 * * MON-FRY" cannot be "MON-FRY": write one such as 1, MON or MON-FRI`},
		"an hour that there is not": {sluicev1.Window{Cron: "0 25 * * *"},
			`cron: the hour of "0 25 * * *" cannot be "25": write one such as 9, 9-17 or */2`},
		"a field too few": {sluicev1.Window{Cron: "0 9 * *"},
			`cron: "0 9 * *" has 4 fields, and not the 5 of minute, hour, day of the month, month and day of the week: ` +
				`write one such as 0 9 * * MON-FRI`},
		"a day and a zone": {sluicev1.Window{Cron: "0 9 * FRY *", TimeZone: "Europe/Zuerich"},
			`cron: the month of "0 9 * FRY *" cannot be "FRY": write one such as 1, JAN or JAN-MAR; ` +
				`timeZone: unknown time zone Europe/Zuerich: name one of the IANA's, such as Europe/Zurich`},
		"a time of day that is not": {sluicev1.Window{Cron: "0 9 * * *", Until: "25:00"},
			`until: "25:00" is no time of the day: write one such as 17:30`},
	} {
		tc.window.Name = "w"
		if _, err := ParseCalendar([]sluicev1.Window{tc.window}); err == nil || err.Error() != `invalid window "w": `+tc.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzWindow(f *testing.F) {
	f.Add("0 9 * * 1-5", "17:00", "Europe/Zurich", int64(1_774_746_000))
	f.Add("30 2 29 3 *", "02:30", "America/New_York", int64(1_774_746_000))
	f.Add("TZ=0", "02:30", "UTC", int64(0))
	f.Fuzz(func(t *testing.T, cron, until, zone string, now int64) {
		c, err := parseWindow(sluicev1.Window{Name: "w", Cron: cron, Until: until, TimeZone: zone})
		if err != nil {
			return
		}
		when := time.Unix(now%(1<<34), 0)
		if _, next := c.open(when); !next.IsZero() && !next.After(when) {
			t.Errorf("%q %q %q: the next change after %s is %s", cron, until, zone, when, next)
		}
	})
}
