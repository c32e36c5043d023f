// SPDX-License-Identifier: Apache-2.0

package pattern

import (
	"errors"
	"regexp/syntax"
	"strings"
	"testing"
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
		"a long text":                    {strings.Repeat("a", MaxLength+1), true},
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
	if size := Size("("); size != 0 {
		t.Errorf("what is no expression has size %d", size)
	}
}

func TestWorkIsBounded(t *testing.T) {
	if err := Check(100, 5<<20); err != nil {
		t.Error(err)
	}
	if err := Check(MaxSize, 32<<20); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v", err)
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
