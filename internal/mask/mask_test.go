// SPDX-License-Identifier: Apache-2.0

package mask

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"runtime"
	"strings"
	"testing"
)

func TestText(t *testing.T) {
	const secret = `hun"ter<2&'s`
	tests := map[string]struct{ secret, text, want string }{
		"as it is":                 {secret, "got " + secret + "!", "got ***!"},
		"in JSON":                  {secret, fmt.Sprintf("got %s", asJSON(secret)), `got "***"`},
		"quoted by Go":             {secret, fmt.Sprintf("got %q", secret), `got "***"`},
		"quoted twice":             {secret, fmt.Sprintf("got %q", fmt.Sprintf("%q", secret)), `got "\"***\""`},
		"in single quotes of YAML": {secret, `got 'hun"ter<2&''s'`, `got '***'`},
		"in base64":                {secret, "got " + base64.StdEncoding.EncodeToString([]byte(secret)), "got ***"},
		"in a URL":                 {secret, "got https://a:" + url.QueryEscape(secret) + "@host", "got https://a:***@host"},
		"two lines on one":         {"first-line\nsecond-line", "got first-linesecond-line", "got ***"},
		"two lines with a blank":   {"first-line\nsecond-line", "got first-line second-line", "got ***"},
		"two lines in JSON":        {"first-line\nsecond-line", `got "first-line\nsecond-line"`, `got "***"`},
		"one of its lines":         {"first-line\nsecond-line\n", "got second-line", "got ***"},
		"with blanks around it":    {" padded value\n", "got padded value", "got***"},
		"a number":                 {"987654321", "&value.valueUnstructured{Value:987654321}", "&value.valueUnstructured{Value:***}"},
		"a number in octal":        {"07777777", "got 2097151.", "got ***."},
		"a large number":           {"1000000000000000000000", "got 1e+21", "got ***"},
		"a letter stays in words": {
			"a",
			"substituting variables: missing closing brace",
			"substituting variables: missing closing brace",
		},
		"a letter stays as a word":      {"a", "waiting for a variable", "waiting for a variable"},
		"a letter in quotes does not":   {"a", `expected number, got "a"`, `expected number, got "***"`},
		"a short number as a value":     {"42", "{Value:42} of 420", "{Value:***} of 420"},
		"a word stays in longer words":  {"able", "variable is not able to", "variable is not *** to"},
		"neighbours":                    {"able", "able able able", "*** *** ***"},
		"a longer word, wherever it is": {"production", "to production2", "to ***2"},
		"in capitals":                   {"s3cr3t-value", "got S3CR3T-VALUE", "got ***"},
		"taken apart as a list": {
			`[{"s3cret": 987654321}]`,
			`Value:[]interface {}{map[string]interface {}{"s3cret":987654321}}`,
			`Value:[]interface {}{map[string]interface {}{"***":***}}`,
		},
		"taken apart as a map":              {"user: someone\npassword: s3cret-value\n", `got {"password":"s3cret-value"}`, `got {"***":"***"}`},
		"no map at all":                     {"- : : {", "got something", "got something"},
		"an empty value hides nothing":      {"", "a text", "a text"},
		"a value of blanks hides nothing":   {" \n ", "a text", "a text"},
		"half of a multibyte value, intact": {"ß", "Straße", "Straße"},
		"a text that is the value":          {secret, secret, "***"},
		"a line of four characters":         {"first\nabc1\nthird", "got abc1", "got ***"},
		"not a line of three":               {"first\nab1\nthird", "got ab1", "got ab1"},
		"a part of four characters":         {"user: abc1\n", "Value:abc1", "Value:***"},
		"a word of seven letters":           {"AZazAZa", "AZazAZab and AZazAZa", "AZazAZab and ***"},
		"a word of eight":                   {"AZazAZaz", "AZazAZaza", "***a"},
		"seven characters, not all letters": {"AZaz[Za", "xAZaz[Zax", "x***x"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := New(tc.secret).Text(tc.text); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func asJSON(text string) string {
	data, _ := json.Marshal(text)
	return string(data)
}

func TestTheLongestValueGoesFirst(t *testing.T) {
	if got := New("secret-value", "secret-value-and-more").Text("a secret-value-and-more"); got != "a ***" {
		t.Errorf("got %q", got)
	}
}

func TestErrorKeepsWhatItWraps(t *testing.T) {
	err := New("hunter22").Error(fmt.Errorf("reading hunter22: %w", fs.ErrNotExist))
	if err.Error() != "reading ***: file does not exist" || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if err := New("hunter22").Error(fs.ErrExist); err != fs.ErrExist { //nolint:errorlint // it is what it was
		t.Errorf("an error without values became %v", err)
	}
	var none *Mask
	if none.Text("text") != "text" || !errors.Is(none.Error(fs.ErrExist), fs.ErrExist) || New("a").Error(nil) != nil {
		t.Error("a mask without values changes something")
	}
}

func TestAMaskThatLacksValuesShowsNothing(t *testing.T) {
	m := Everything().And(New("hunter22"))
	if got := m.Text(`Deployment "a": not hunter22`); got != Withheld || m.Text("") != "" {
		t.Errorf("got %q", got)
	}
	if err := m.Error(fs.ErrNotExist); err.Error() != Withheld || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	var none *Mask
	if none.And(none) != nil || none.And(m) != m || m.And(none) != m {
		t.Error("a mask without values is not neutral")
	}
	if got := New("a-value").And(New("hunter22")).Text("a-value hunter22"); got != "*** ***" {
		t.Errorf("two masks make %q", got)
	}
	if got := New("a-value").And(m).Text("text"); got != Withheld {
		t.Errorf("with another one it makes %q", got)
	}
}

// Whatever the value, none of the ways in which Go programs show it gets through.
func FuzzText(f *testing.F) {
	f.Add("hun\"ter<2&")
	f.Add("first\nsecond")
	f.Fuzz(func(t *testing.T, secret string) {
		if len(strings.TrimSpace(secret)) < wordLength || strings.ContainsAny(secret, "*") {
			t.Skip()
		}
		m := New(secret)
		for _, text := range []string{secret, asJSON(secret), fmt.Sprintf("%q", secret), base64.StdEncoding.EncodeToString([]byte(secret))} {
			if got := m.Text("got " + text); strings.Contains(got, text) {
				t.Errorf("%q shows in %q", secret, got)
			}
		}
	})
}

// A Mask is held for as long as there is an object, and a Secret may have a megabyte.
func TestALargeValueTakesNoMoreThanItself(t *testing.T) {
	large := "password: hunter22\n" + strings.Repeat("\"\x01<", 300_000)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if got := New(large).Text(`reading "password: hunter22"`); got != `reading "***"` {
		t.Errorf("got %q", got)
	}
	runtime.ReadMemStats(&after)
	if taken := after.TotalAlloc - before.TotalAlloc; taken > uint64(20*len(large)) {
		t.Errorf("took %d bytes for %d", taken, len(large))
	}
}
