// SPDX-License-Identifier: Apache-2.0

package policy

import "testing"

// TestWhatIsMatchedFast says which patterns go the short way. The answers of both are compared by FuzzCut,
// but only the time would tell if one took the other way.
func TestWhatIsMatchedFast(t *testing.T) {
	tests := map[string]struct {
		pattern, extract string
		fast             bool
		prefix           string // which the pattern is reduced to
	}{
		"a literal":                                      {`^main$`, "", true, "main"},
		"nothing":                                        {`^$`, "", true, ""},
		"a repetition with a bound":                      {`^a-[a-z]{2,3}$`, "", true, "a-"},
		"a repetition without an end":                    {`^a-[a-z]{2,}$`, "", true, "a-"},
		"an option":                                      {`^v?[0-9]+$`, "", true, ""},
		"a class of one byte":                            {`^[a]b.*$`, "", true, "ab"},
		"a byte that is repeated":                        {`^ab{2}$`, "", true, "a"},
		"capitals and lower case are no prefix":          {`^(?i)a-b$`, "", true, ""},
		"a group that is the rest":                       {`^v(.*)$`, "$1", true, "v"},
		"the group ends the prefix":                      {`^v(1)2$`, "$1", true, "v"},
		"the first bytes are the group":                  {`^(v)1$`, "$1", true, ""},
		"an empty group":                                 {`^v()1$`, "$1", true, "v"},
		"a group that is not wanted":                     {`^v(1)2$`, "", true, "v12"},
		"groups within groups":                           {`^v((1)2)$`, "$2", true, "v"},
		"steps that cannot meet":                         {`^[a-f]*-[a-f]*$`, "", true, ""},
		"no beginning":                                   {`main$`, "", false, ""},
		"no end":                                         {`^main`, "", false, ""},
		"a choice":                                       {`^(ab|cd)$`, "", false, ""},
		"a choice that is repeated":                      {`^(ab|cd)+$`, "", false, ""},
		"words that are repeated":                        {`^(ab)*$`, "", false, ""},
		"words that are repeated once at least":          {`^(ab)+$`, "", false, ""},
		"words that are repeated twice":                  {`^(ab){2}$`, "", false, ""},
		"words that may be missing":                      {`^(ab)?$`, "", false, ""},
		"a letter that is not ASCII":                     {`^ä$`, "", false, ""},
		"the first that is not ASCII":                    {"^\u0080$", "", false, ""},
		"the last that is":                               {`^\x7f$`, "", true, "\x7f"},
		"another template than a group":                  {`^v(.*)$`, "$1-x", false, ""},
		"a group that is not there":                      {`^v(.*)$`, "$2", false, ""},
		"two steps that take the same":                   {`^[a-z]*a$`, "", false, ""},
		"two steps with one between that can be missing": {`^a*-?a$`, "", false, ""},
		"two steps with one between":                     {`^a*-a$`, "", true, ""},
		"a boundary of words":                            {`^a\b$`, "", false, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			m := compileFast(tc.pattern, tc.extract)
			if (m != nil) != tc.fast {
				t.Fatalf("%s by %q: fast is %v", tc.pattern, tc.extract, m != nil)
			}
			if m != nil && m.prefix != tc.prefix {
				t.Errorf("the prefix of %s is %q, want %q", tc.pattern, m.prefix, tc.prefix)
			}
		})
	}
}

func TestWhatAFastMatcherTakes(t *testing.T) {
	tests := map[string]struct {
		pattern, extract, tag string
		text                  string
		matches, known        bool
	}{
		"the whole tag":                       {`^v[0-9]+$`, "", "v12", "v12", true, true},
		"the group":                           {`^v([0-9]+)-x$`, "$1", "v12-x", "12", true, true},
		"another prefix":                      {`^v[0-9]+$`, "", "w12", "", false, true},
		"too few":                             {`^v[0-9]{2,3}$`, "", "v1", "", false, true},
		"as few as may be":                    {`^v[0-9]{2,3}$`, "", "v12", "v12", true, true},
		"as many as may be":                   {`^v[0-9]{2,3}$`, "", "v123", "v123", true, true},
		"too many":                            {`^v[0-9]{2,3}$`, "", "v1234", "", false, true},
		"an empty group at the end":           {`^v[0-9]()$`, "$1", "v1", "", true, true},
		"an empty group in the middle":        {`^v[0-9]()-$`, "$1", "v1-", "", true, true},
		"a z where case does not matter":      {`^(?i)z$`, "", "Z", "Z", true, true},
		"an a where case does not matter":     {`^(?i)a$`, "", "A", "A", true, true},
		"a sign that has no case":             {`^(?i)[0-9]@$`, "", "1`", "", false, true},
		"a sign above z that has no case":     {`^(?i)[0-9]{1}[{]$`, "", "1[", "", false, true},
		"a point does not take a new line":    {`^a.$`, "", "a\n", "", false, true},
		"a point does with the flag":          {`(?s)^a.$`, "", "a\n", "a\n", true, true},
		"only the pattern knows about others": {`^a.b$`, "", "a\u00e4b", "", false, false},
		"and about the first of them":         {`^a.b$`, "", "a\x80b", "", false, false},
		"the last of ours":                    {`^a.b$`, "", "a\x7fb", "a\x7fb", true, true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			m := compileFast(tc.pattern, tc.extract)
			if m == nil {
				t.Fatalf("%s is not matched fast", tc.pattern)
			}
			if text, matches, known := m.text(tc.tag); text != tc.text || matches != tc.matches || known != tc.known {
				t.Errorf("%s of %q: got %q, %v, %v", tc.pattern, tc.tag, text, matches, known)
			}
		})
	}
}
