// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestTheGapsOfAPackageAreFoundAndNoOthers measures testdata/tiny, whose gaps are these.
func TestTheGapsOfAPackageAreFoundAndNoOthers(t *testing.T) {
	var progress bytes.Buffer
	results, err := measure(t.Context(), options{
		dir: ".", packages: []string{"./testdata/tiny"}, parallel: 2, patience: 10 * time.Second, progress: &progress,
	})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	printSurvivors(&out, results)
	want := `hack/mutate/testdata/tiny/tiny.go:21:35: survived: < -> <= in age < 18
hack/mutate/testdata/tiny/tiny.go:27:38: survived: || -> && in a || b
hack/mutate/testdata/tiny/tiny.go:37:2: survived: leave out s.total++
hack/mutate/testdata/tiny/tiny.go:42:1: survived: return at once
hack/mutate/testdata/tiny/tiny.go:43:2: survived: leave out s.names = nil
hack/mutate/testdata/tiny/tiny.go:44:2: survived: leave out s.total = 0
hack/mutate/testdata/tiny/tiny.go:48:38: not covered: return the zero value, not fmt.Sprint(n)
hack/mutate/testdata/tiny/tiny.go:53:12: survived: return the zero value, not set(&n)
hack/mutate/testdata/tiny/tiny.go:57:2: survived: leave out *n = 2
hack/mutate/testdata/tiny/tiny.go:63:6: survived: negate n > 0
hack/mutate/testdata/tiny/tiny.go:63:6: survived: > -> >= in n > 0
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
	if n := results[0].count(timedOut); n != 1 {
		t.Errorf("%d mutants do not end, want that of Forever", n)
	}
	if !strings.Contains(progress.String(), "left out: TestThatFails") {
		t.Errorf("a test that fails without a mutant is not named in:\n%s", &progress)
	}
	out.Reset()
	printTable(&out, results)
	wantTable := `Package                    Mutants  Killed  Survived  Not covered  Score
hack/mutate/testdata/tiny  33       22      10        1            67 %
`
	if diff := cmp.Diff(wantTable, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestProgramsThatATestStartedEndWithIt(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "package.test")
	// It prints the number of a program that has its output open, and fails.
	if err := os.WriteFile(script, []byte("#!/bin/sh\nsleep 600 &\necho $!\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	r := &runner{pkg: &pkg{dir: dir}, binary: script, dir: dir}
	f, out := r.run(t.Context(), nil, time.Hour, "")
	pid := strings.TrimSpace(string(out))
	if f != killed || pid == "" {
		t.Fatalf("%s, printed %q", f, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	status, err := os.ReadFile("/proc/" + pid + "/status")
	for err == nil && !strings.Contains(string(status), "\nState:\tZ") { // it may wait for somebody to notice its end
		if ctx.Err() != nil {
			t.Fatalf("it runs still:\n%s", status)
		}
		status, err = os.ReadFile("/proc/" + pid + "/status")
	}
}

func TestATestThatPrintsWithoutEndIsStopped(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "package.test")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nexec yes\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	r := &runner{pkg: &pkg{dir: dir}, binary: script, dir: dir}
	if f, out := r.run(t.Context(), nil, 100*time.Millisecond, ""); f != timedOut || len(out) > maxOutput {
		t.Errorf("%s, and %d bytes were kept", f, len(out))
	}
}

func TestEditsNest(t *testing.T) {
	// a < b, with two mutants around it and one around b
	var e edits
	e.wrap(0, 0, 5, "not(", ")")
	e.wrap(1, 0, 5, "less(", ")")
	e.replace(1, 2, 1, ",")
	e.wrap(2, 4, 5, "zero(", ")")
	e.wrap(3, 5, 6, "[", "]")
	if got, want := string(e.apply([]byte("a < b!"))), "not(less(a , zero(b)))[!]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestASampleIsTheSameForASeedAndHasOnlyWhatCompiles(t *testing.T) {
	var mutants []*mutant
	for id := range 100 {
		mutants = append(mutants, &mutant{ID: id, Outcome: uncovered})
	}
	mutants[7].Outcome = invalid
	ids := func(n int, seed int64) (ids []int) {
		for _, m := range sample(mutants, n, seed) {
			ids = append(ids, m.ID)
		}
		return ids
	}
	if diff := cmp.Diff(ids(10, 1), ids(10, 1)); diff != "" || len(ids(10, 1)) != 10 {
		t.Error(diff)
	}
	if cmp.Equal(ids(10, 1), ids(10, 2)) {
		t.Error("another seed has the same sample")
	}
	if got := len(ids(0, 1)); got != 99 {
		t.Errorf("all that compile are %d, want 99", got)
	}
}

func TestThePageKeepsTheRowsOfPackagesThatWereNotMeasured(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.md")
	begin := "# Page\n<!-- scores -->\n"
	before := begin + "| x/old | 1 | 1 | 0 | 0 | 100 % |\n| x/new | 9 | 9 | 0 | 0 | 100 % |\n<!-- end -->\nText\n"
	if err := os.WriteFile(page, []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	measured := result{
		Package: "host/owner/name/x/new",
		Mutants: []*mutant{{Outcome: killed}, {Outcome: timedOut}, {Outcome: survived}, {Outcome: uncovered}},
	}
	if err := writeDoc(page, []result{measured}); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	want := begin + `| Package | Mutants | Killed | Survived | Not covered | Score |
|---|---|---|---|---|---|
| x/new | 4 | 2 | 1 | 1 | 50 % |
| x/old | 1 | 1 | 0 | 0 | 100 % |
<!-- end -->
Text
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
}
