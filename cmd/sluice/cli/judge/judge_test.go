// SPDX-License-Identifier: Apache-2.0

package judge_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/sluice-cd/sluice/cmd/sluice/cli/judge"
	"github.com/sluice-cd/sluice/report"
)

func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := judge.Command("test")
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetOut(&out)
	cmd.SetErr(new(bytes.Buffer))
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestPlanSaysWhatCannotBeDecidedInTime(t *testing.T) {
	out, err := run(t, "plan", "--requests", "10", "--errors", "0.1%", "--ratios", "2,5,20")
	if err != nil {
		t.Fatal(err)
	}
	const want = `ERRORS     VERDICT   AFTER      WITHIN THE STEPS
2 times    Fail      2h10m38s   no
5 times    Fail      15m58s     no
20 times   Fail      2m42s      yes
`
	if out != want {
		t.Errorf("got\n%swant\n%s", out, want)
	}
}

func TestWhatIsDecidedWithinASecondIsNotNever(t *testing.T) {
	out, err := run(t, "plan", "--requests", "1e9", "--errors", "0.1%", "--ratios", "5")
	if err != nil {
		t.Fatal(err)
	}
	if want := "5 times   Fail      1s      yes"; !strings.Contains(out, want) {
		t.Errorf("got\n%s, want %s", out, want)
	}
}

func TestAServiceWithoutErrorsHasAPlan(t *testing.T) {
	out, err := run(t, "plan", "--requests", "10", "--errors", "0", "--ratios", "1,5", "--weights", "50")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1 times   Pass      15m4s   no", "5 times   Fail      never   no"} {
		if !strings.Contains(out, want) {
			t.Errorf("got\n%s, want %s", out, want)
		}
	}
	if svg, err := run(t, "plan", "--requests", "10", "--errors", "0", "-o", "svg"); err != nil || strings.Contains(svg, "NaN") {
		t.Errorf("%v: %s", err, svg)
	}
}

// It ended after its rows alone, which may take minutes, and not when it was told to.
func TestASimulationEndsWhenItIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cmd := judge.Command("test")
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetOut(new(bytes.Buffer))
	cmd.SetErr(new(bytes.Buffer))
	cmd.SetArgs([]string{"simulate", "--requests", "1", "--runs", "300", "--ratios", "1"})
	cancel()
	if err := cmd.ExecuteContext(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestASimulationShowsFalseAlarmsOfThresholds(t *testing.T) {
	args := []string{"simulate", "--requests", "50", "--errors", "2%", "--ratios", "1", "--runs", "50", "-o", "json"}
	first, err := run(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	var rows report.List[report.JudgeSimulation]
	if err := json.Unmarshal([]byte(first), &rows); err != nil {
		t.Fatal(err)
	}
	if len(rows.Items) != 1 {
		t.Fatalf("%d rows", len(rows.Items))
	}
	row := rows.Items[0]
	if row.Judge.RolledBack > 0.06 || row.Judge.Promoted < 0.9 {
		t.Errorf("the judge rolled %.0f %% of the healthy releases back and passed %.0f %%", 100*row.Judge.RolledBack, 100*row.Judge.Promoted)
	}
	if row.Flagger.RolledBack < 0.9 || row.Argo.RolledBack < 0.9 {
		t.Errorf("thresholds of 99 %% are said to stand errors of 2 %%: %+v", row)
	}
	if again, err := run(t, args...); err != nil || again != first {
		t.Errorf("the same seed gives another table (%v)", err)
	}
}

func TestWrongFlagsAreNamed(t *testing.T) {
	for name, tc := range map[string]struct {
		args string
		want string
	}{
		"no requests":                              {"plan --errors 1%", "--requests: 0 is no number of requests"},
		"no rate of errors":                        {"plan --requests 1", `--errors is required`},
		"more errors than requests":                {"plan --requests 1 --errors 120%", `--errors: "120%" is no part`},
		"a weight of all users":                    {"plan --requests 1 --errors 1% --weights 50,100", "--weights: 100 % leaves nobody"},
		"an interval of none":                      {"plan --requests 1 --errors 1% --interval 0s", "--interval: 0s"},
		"alpha of none":                            {"plan --requests 1 --errors 1% --alpha 0", "alpha is 0"},
		"a regression that is tolerated":           {"simulate --tolerated 3", "regression is 2 and has to be more than tolerated (3)"},
		"an undefined ratio":                       {"plan --requests 1 --errors 1% --ratios NaN", "--ratios: NaN"},
		"a window longer than the release":         {"simulate --window 1h", "--window: 1h0m0s has to be between 1s and --for"},
		"no runs":                                  {"simulate --runs 0", "--runs: 0 has to be at least 1"},
		"requests that are no number":              {"simulate --requests NaN", "--requests: NaN is no number of requests"},
		"a service that nobody described":          {"simulate --burst 5", "--burst: say with --requests what service is released"},
		"a step of centuries":                      {"plan --requests 1 --errors 1% --interval 2500000h", "--interval: 2500000h0m0s has to be"},
		"too many samples":                         {"plan --requests 1 --errors 1% --min-samples 1e300", "minSamples is 1e+300 and has"},
		"more typical ones than anybody waits for": {"simulate --runs 100000000", "windows would have to be played"},
		"windows of a second for a day":            {"simulate --requests 1 --for 24h --window 1s --runs 100000", "lengthen --window"},
		"more than a machine can draw":             {"simulate --requests 100000 --runs 100000", "lower --runs, --for or --requests"},
		"an unknown format":                        {"simulate -o xml", "--output: unknown format"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := run(t, strings.Fields(tc.args)...)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}
