// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"path"
	"strings"
	"testing"
)

func TestGlobs(t *testing.T) {
	tests := map[string]struct {
		pattern   string
		yes, no   []string
		wantError string
	}{
		"names at any depth":      {pattern: "*.md", yes: []string{"a.md", "x/y/a.md", ".md"}, no: []string{"a.md/b", "amd"}},
		"a path is from the root": {pattern: "docs/*.md", yes: []string{"docs/a.md"}, no: []string{"x/docs/a.md", "docs/x/a.md"}},
		"any directories": {
			pattern: "**/test/**",
			yes:     []string{"test", "test/a", "x/y/test/z/a"}, no: []string{"x/tests/a", "xtest/a"},
		},
		"all of a directory, and itself": {pattern: "sub/**", yes: []string{"sub", "sub/a/b"}, no: []string{"subs", "x/sub"}},
		"everything":                     {pattern: "**", yes: []string{"a", "a/b"}},
		"two stars in a name":            {pattern: "a/**.txt", yes: []string{"a/b.txt", "a/.txt"}, no: []string{"a/b/c.txt"}},
		"directories in between":         {pattern: "a/**/b", yes: []string{"a/b", "a/x/b", "a/x/y/b"}, no: []string{"a/xb", "ab"}},
		"alternatives": {
			pattern: "x/{a,b*,c/**}",
			yes:     []string{"x/a", "x/bb", "x/c", "x/c/d/e"}, no: []string{"x/", "x/ab", "x/cd"},
		},
		"alternatives in others":        {pattern: "{a,{b,c}d}", yes: []string{"a", "bd", "cd"}, no: []string{"b", "ad"}},
		"classes":                       {pattern: "[a-c][!x-z]?", yes: []string{"aab", "c-]"}, no: []string{"axb", "ab", "dab", "a/b"}},
		"what regular expressions have": {pattern: `(a|b)+.$^`, yes: []string{"(a|b)+.$^"}, no: []string{"a"}},
		"a star that is none":           {pattern: `\*\[\\`, yes: []string{`*[\`}, no: []string{"a[\\"}},
		"letters beyond ASCII":          {pattern: "ü?[ä-ö]", yes: []string{"üöä"}, no: []string{"üäx"}},
		"an open bracket":               {pattern: "[a", wantError: "not closed"},
		"an empty one":                  {pattern: "[]", wantError: "bracket"},
		"a range backwards":             {pattern: "[z-a]", wantError: "ends before it begins"},
		"half a range":                  {pattern: "[a-]", wantError: "half a range"},
		"an open brace":                 {pattern: "{a,b", wantError: "not closed"},
		"a backslash at the end":        {pattern: `a\`, wantError: "backslash"},
		"braces without end":            {pattern: strings.Repeat("{a,", 20) + strings.Repeat("}", 20), wantError: "nest deeper"},
		"braces beside one another":     {pattern: strings.Repeat("{a,b,c*d?}", 400), wantError: "too large"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			g, err := compileGlob(tc.pattern)
			if tc.wantError != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantError) {
					t.Errorf("got %v, want %q", err, tc.wantError)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range tc.yes {
				if !g.matches(name) {
					t.Errorf("%q is not matched by %s", name, g.Pattern)
				}
			}
			for _, name := range tc.no {
				if g.matches(name) {
					t.Errorf("%q is matched by %s", name, g.Pattern)
				}
			}
		})
	}
}

// FuzzGlob compares patterns that path.Match knows as well, of single names.
func FuzzGlob(f *testing.F) {
	f.Add("a*[b-d]?", "axxcy")
	f.Add(`\*[^a]`, "*b")
	f.Add("{a,b}[", "a")
	f.Fuzz(func(t *testing.T, text, name string) {
		g, err := compileGlob(text)
		if err != nil || strings.ContainsAny(text+name, "/{}!\n\uFFFD") || strings.Contains(text, "**") || name == "" {
			return
		}
		if want, err := path.Match(text, name); err == nil && g.MatchString(name) != want {
			t.Errorf("%q matches %q: %v, want %v (%s)", text, name, !want, want, g.Pattern)
		}
	})
}
