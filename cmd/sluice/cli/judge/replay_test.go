// SPDX-License-Identifier: Apache-2.0

package judge_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-cd/sluice/report"
)

// recorded is the trace of releases of a service with 100 requests a second and 0.1 % errors.
func recorded(t *testing.T, ratios string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "trace.jsonl")
	if _, err := run(t, "simulate", "--requests", "100", "--errors", "0.1%", "--ratios", ratios, "--for", "10m", "--window", "15s",
		"--save-trace", path); err != nil {
		t.Fatal(err)
	}
	return path
}

func replayed(t *testing.T, args ...string) []report.ReplayedRelease {
	t.Helper()
	out, err := run(t, append([]string{"replay", "-o", "json"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	var rows report.List[report.ReplayedRelease]
	if err := json.Unmarshal([]byte(out), &rows); err != nil {
		t.Fatal(err)
	}
	return rows.Items
}

func TestAReplaySaysWhatWouldHaveBeenDifferent(t *testing.T) {
	trace := recorded(t, "1,5")
	rows := replayed(t, "--trace", trace)
	if len(rows) != 2 {
		t.Fatalf("%d releases", len(rows))
	}
	bad, good := rows[0], rows[1]
	if bad.Judge.Outcome != "rolled back" || bad.Thresholds.Outcome != "promoted" || bad.Judge.Seconds >= bad.Thresholds.Seconds {
		t.Errorf("five times the errors: %+v", bad)
	}
	if good.Judge.Outcome == "rolled back" || good.Thresholds.Outcome != "promoted" || good.BaselineWindows < 100 {
		t.Errorf("as good as before: %+v", good)
	}
	if rows := replayed(t, "--trace", trace, "--regression", "5"); rows[1].Judge.Outcome != "promoted" {
		t.Errorf("what is promoted by its errors: %+v", rows[1])
	}
	if rows := replayed(t, "--trace", trace, "--regression", "5", "--metrics", "errors,latency,errors"); rows[1].Judge.Outcome != "undecided" {
		t.Errorf("a latency that was asked for and is not there: %+v", rows[1])
	}
	if bad.Ratio == nil || *bad.Ratio < 3 || bad.Expected != nil {
		t.Errorf("the ratio is %v", bad.Ratio)
	}
	strict := replayed(t, "--trace", trace, "--success-rate", "99.9", "--alpha", "1e-9", "--weights", "10,50")
	if strict[0].Thresholds.Outcome != "rolled back" || strict[0].Judge.Outcome != "undecided" {
		t.Errorf("with other settings: %+v", strict[0])
	}
	if e := strict[0].Expected; e == nil || e.Outcome != "Fail" || e.Seconds == 0 {
		t.Errorf("with other weights: %+v", e)
	}
}

func TestAReplayIsDrawn(t *testing.T) {
	trace := recorded(t, "5")
	out, err := run(t, "replay", "--trace", trace, "-o", "svg")
	if err != nil || !strings.HasPrefix(out, "<svg") || !strings.Contains(out, "the judge fails it") {
		t.Errorf("got %v:\n%s", err, out)
	}
	if _, err := run(t, "replay", "--trace", trace, "-o", "svg", "--release", "2"); err == nil ||
		!strings.Contains(err.Error(), "there are 1 releases") {
		t.Errorf("got %v", err)
	}
}

func TestWrongFlagsOfAReplayAreNamed(t *testing.T) {
	for name, tc := range map[string]struct{ args, want string }{
		"nothing to replay":           {"replay", "either --trace or --prometheus is required"},
		"both":                        {"replay --trace x --prometheus http://y", "either --trace or --prometheus is required"},
		"no such file":                {"replay --trace /nowhere", "--trace: open /nowhere"},
		"no canary":                   {"replay --prometheus http://y", "--canary is required"},
		"no time":                     {"replay --prometheus http://y --canary z --since yesterday", "--since: not a valid duration"},
		"more than a server is asked": {"replay --prometheus http://y --canary z --since 5y", "--since: 5y is more than 100000 times --scan"},
		"no step":                     {"replay --prometheus http://y --canary z --every 0s", "--every and --scan"},
		"no time at all":              {"replay --prometheus http://y --canary z --since 0d", "--since: 0d is no time, such as 12h"},
		"a canary beside a trace":     {"replay --trace x --canary y", "--canary: it is about --prometheus"},
		"a trace of a trace":          {"replay --trace x --save-trace y", "--save-trace: it is about --prometheus"},
		"a metric of its own":         {"replay --trace x --metrics cpu", `--metrics: "cpu" is none; known: errors, latency, throughput`},
		"a release of none":           {"replay --trace x --release 0", "--release: 0"},
		"a success rate of 120 %":     {"replay --trace x --success-rate 120", "a success rate of 120 %"},
		"a trace of no service":       {"simulate --save-trace x", "--save-trace: say with --requests"},
		"a trace into nowhere":        {"simulate --requests 1 --save-trace /nowhere/x", "--save-trace: open /nowhere/x"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := run(t, strings.Fields(tc.args)...)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}
