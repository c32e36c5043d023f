// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"errors"
	"regexp"
	"strings"
	"testing"
)

func TestAnExtractOfAGroupThatIsNotThereWasNoNumber(t *testing.T) {
	const named, numbered = `^main-(?P<sha>[a-f0-9]+)-(?P<ts>[0-9]+)$`, `^v(\d+)_(\d+)$`
	tests := map[string]struct {
		pattern, extract string
		want             string // of the error, "" for none
	}{
		"a name":                            {named, "$ts", ""},
		"a name in braces":                  {named, "${ts}", ""},
		"names beside text":                 {named, "${ts}-x.$sha", ""},
		"numbers":                           {numbered, "$1.$2", ""},
		"the number of a named group":       {named, "$2", ""},
		"the whole match":                   {`^v.*$`, "$0", ""},
		"a dollar beside a group":           {named, "$$$ts$$", ""},
		"no template":                       {named, "", ""},
		"another name":                      {named, "$timestamp", "no group timestamp; it has $sha, $ts"},
		"another name in braces":            {named, "${time}", "no group time; it has $sha, $ts"},
		"other letters of the same name":    {named, "$TS", "no group TS; it has $sha, $ts"},
		"one of two":                        {named, "$sha-$build", "no group build; it has $sha, $ts"},
		"a number too high":                 {numbered, "$3", "no group 3; it has $1, $2"},
		"a number with a zero in front":     {numbered, "$01", "no group 01; it has $1, $2"},
		"a number beyond all":               {numbered, "$99999999999999999999", "it has $1, $2"},
		"text taken for a part of a number": {numbered, "$1_$2", "no group 1_; it has $1, $2: to have \"_\" follow a group, write ${1}_"},
		"text taken for a part of a name":   {named, "$ts0", "write ${ts}0"},
		"a pattern without groups": {
			`^[0-9]+$`,
			"$ts",
			"no group ts; it has none: write one as (?P<ts>...), or take the whole match with $0",
		},
		"a group that is only for grouping":   {`^(?:a|b)$`, "$1", "no group 1; it has none"},
		"no pattern":                          {"", "$ts", "no group ts"},
		"no group at all":                     {named, "ts", "it names no group"},
		"dollars alone":                       {named, "$$ts", "it names no group"},
		"braces without an end":               {named, "${ts", "a $ has to be followed by"},
		"braces around something else":        {named, "${ts-1}", "a $ has to be followed by"},
		"braces around nothing":               {named, "${}", "a $ has to be followed by"},
		"a dollar at the end":                 {named, "$ts$", "a $ has to be followed by"},
		"a dollar in front of something else": {named, "$-$ts", "a $ has to be followed by"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Compile(byNumber(""), filterBy(tc.pattern, tc.extract))
			if tc.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "spec.filterTags.extract ") || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// FuzzExtract compares with how package regexp reads a template: a template that is
// accepted gets a text of each group from it.
func FuzzExtract(f *testing.F) {
	for _, seed := range []string{"$ts", "${1}x", "$$", "$1_", "$0", "a$\u00e9", "$", "${", "$01", "$2"} {
		f.Add(seed)
	}
	pattern := regexp.MustCompile(`^(?P<ts>a)(b)$`)
	f.Fuzz(func(t *testing.T, template string) {
		if checkExtract(pattern, template) != nil || template == "" {
			return
		}
		groups, err := groupsOf(template)
		if err != nil {
			t.Fatal(err)
		}
		want := strings.Count(template, "$$")
		got := string(pattern.ExpandString(nil, template, "ab", pattern.FindStringSubmatchIndex("ab")))
		if dollars := strings.Count(got, "$"); dollars > want {
			t.Errorf("%q: %q has %d dollars, want at most %d", template, got, dollars, want)
		}
		bare := string(pattern.ExpandString(nil, template, "ab", []int{0, 0, 0, 0, 0, 0}))
		if len(got)-len(bare) < len(groups) {
			t.Errorf("%q names groups %q and makes %q", template, groups, got)
		}
	})
}
