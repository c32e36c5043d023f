// SPDX-License-Identifier: Apache-2.0

package pattern

import (
	"errors"
	"regexp/syntax"
	"strings"
	"testing"

	"github.com/Masterminds/semver/v3"
)

func TestExpressionsAreBounded(t *testing.T) {
	tests := map[string]struct {
		expression string
		large      bool
	}{
		"a usual filter":                 {`^main-[a-f0-9]{40}-(?P<ts>[0-9]+)$`, false},
		"a digest":                       {`^sha256-[a-f0-9]{64}\.(sig|att|sbom)$`, false},
		"a hundred words":                {strings.Repeat("version|", 99) + "version", false},
		"a repetition":                   {`(a|b|c|d|e|f|.){0,1000}`, true},
		"repetitions beside one another": {"^(" + strings.Repeat("(a|b|c|d|e|f|.){0,100}", 60) + ")x$", true},
		"repetitions in repetitions":     {`((a{10}){10}){10}x{999}y{999}`, true},
		"a repetition without an end":    {`(?:[ab][cd]){999,}`, true},
		"a class as long as may be":      {"[" + strings.Repeat("a", MaxLength-2) + "]", false},
		"a longer one":                   {"[" + strings.Repeat("a", MaxLength-1) + "]", true},
		"a text of the largest size":     {strings.Repeat("a", MaxSize), false},
		"a larger one":                   {strings.Repeat("a", MaxSize+1), true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Compile(tc.expression)
			if errors.Is(err, ErrTooLarge) != tc.large || !tc.large && err != nil {
				t.Errorf("got %v", err)
			}
			if size := Size(tc.expression); (size > MaxSize) != tc.large {
				t.Errorf("got size %d", size)
			}
		})
	}
	var invalid *syntax.Error
	if _, err := Compile("("); !errors.As(err, &invalid) || errors.Is(err, ErrTooLarge) {
		t.Errorf("what is no expression: %v", err)
	}
}

func TestSizes(t *testing.T) {
	for expression, want := range map[string]int{
		"abc":                 3,
		"a{2,}":               6, // aaa*, and a jump for each
		"a{2,5}":              10,
		"(?:ab){3}":           12,
		"[a-z]":               1,
		"what is no regexp (": 0,
		"(?:" + strings.Repeat("a", MaxSize) + "){2}": MaxSize + 1, // of one repetition, which is enough
	} {
		if got := Size(expression); got != want {
			t.Errorf("%.30q has size %d, want %d", expression, got, want)
		}
	}
}

func TestWorkIsBounded(t *testing.T) {
	if err := Check(100, 5<<20); err != nil {
		t.Error(err)
	}
	if err := Check(2, Most/2); err != nil {
		t.Errorf("the most work: %v", err)
	}
	if err := Check(MaxSize, 32<<20); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v", err)
	}
}

func TestRangesOfVersions(t *testing.T) {
	within, err := Versions("1.x")
	if err != nil || !within.Check(semver.MustParse("1.2.3")) || within.Check(semver.MustParse("2.0.0")) {
		t.Errorf("%v, %v", within, err)
	}
	if _, err := Versions("latest"); err == nil || !strings.Contains(err.Error(), "write a range such as 1.x") {
		t.Errorf("what is no range: %v", err)
	}
}

// What is said of a size is not much less than the program has.
func FuzzSize(f *testing.F) {
	for _, seed := range []string{`^a.*$`, `(a|b){2,5}`, `a{3,}`, `(?i)abc`, `[^\n]+?`, `(?:a|)*`, `\bx\B`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, expression string) {
		p, err := Compile(expression)
		if err != nil {
			return
		}
		tree, err := syntax.Parse(expression, syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		program, err := syntax.Compile(tree.Simplify())
		if err != nil {
			return
		}
		if n := len(program.Inst); n > 4*p.Size+8 {
			t.Errorf("%q: said %d, has %d", expression, p.Size, n)
		}
	})
}
