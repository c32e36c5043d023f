// SPDX-License-Identifier: Apache-2.0

package edit_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/sluice-cd/sluice/writeback/edit"
)

func TestApplyRefusesAnImageWithoutThePart(t *testing.T) {
	content := []byte("tag: 1 # {\"$imagepolicy\": \"apps:app:tag\"}\ndigest: sha256:1 # {\"$imagepolicy\": \"apps:app:digest\"}\n")
	images := edit.Images{Namespace: "apps", ByPolicy: map[string]edit.Image{"app": {Name: "n", Tag: "2"}}}

	edited, outcomes, err := edit.Apply(content, images)

	if !errors.Is(err, edit.ErrMissingPart) || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("error %v does not name line 2", err)
	}
	if diff := cmp.Diff(string(content), string(edited)); diff != "" {
		t.Errorf("content was changed:\n%s", diff)
	}
	if outcomes[1].Skip != edit.MissingPart {
		t.Errorf("skipped %q, want %q", outcomes[1].Skip, edit.MissingPart)
	}
}

// TestValuesStayStrings writes values into a plain field and reads them back
// with the parser that the field's consumers use.
func TestValuesStayStrings(t *testing.T) {
	tests := map[string]struct{ value, want string }{
		"a version stays plain":              {"1.2.3", "1.2.3"},
		"a tag with a build stays plain":     {"v1.2.3-rc.1_b", "v1.2.3-rc.1_b"},
		"an image reference stays plain":     {"localhost:5000/a/b:1@sha256:0f", "localhost:5000/a/b:1@sha256:0f"},
		"an integer is quoted":               {"10", `"10"`},
		"a long integer is quoted":           {"20240131235959001", `"20240131235959001"`},
		"leading zeros are quoted":           {"0089", `"0089"`},
		"a float is quoted":                  {"1.10", `"1.10"`},
		"a commit that is a float is quoted": {"1234e56", `"1234e56"`},
		"hexadecimal is quoted":              {"0xBEEF", `"0xBEEF"`},
		"octal is quoted":                    {"0o17", `"0o17"`},
		"a boolean of YAML 1.1 is quoted":    {"on", `"on"`},
		"a short boolean is quoted":          {"Y", `"Y"`},
		"null is quoted":                     {"Null", `"Null"`},
		"a date is quoted":                   {"2024-01-31", `"2024-01-31"`},
		"sexagesimal is quoted":              {"10:30", `"10:30"`},
		"infinity is quoted":                 {".inf", `".inf"`},
		"underscores are quoted":             {"1_000", `"1_000"`},
		"a final colon is quoted":            {"a:", `"a:"`},
		"an indicator is quoted":             {"@a", `"@a"`},
		"a comment cannot be smuggled in":    {"a #b", `"a #b"`},
		"a line break is escaped":            {"a\nb: c", `"a\nb: c"`},
		"quotes are escaped":                 {`a"b\`, `"a\"b\\"`},
		"control characters are escaped":     {"a\x7f\x01", `"a\x7f\x01"`},
		"other scripts are escaped":          {"тег", `"\u0442\u0435\u0433"`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			content := []byte("tag: old # {\"$imagepolicy\": \"apps:app:tag\"}\n")
			images := edit.Images{Namespace: "apps", ByPolicy: map[string]edit.Image{"app": {Name: "n", Tag: tc.value}}}
			edited, _, err := edit.Apply(content, images)
			if err != nil {
				t.Fatal(err)
			}
			got, _, _ := strings.Cut(strings.TrimPrefix(string(edited), "tag: "), " # {")
			if got != tc.want {
				t.Errorf("wrote %s, want %s", got, tc.want)
			}
			var read struct{ Tag any }
			if err := yaml.Unmarshal(edited, &read); err != nil || read.Tag != tc.value {
				t.Errorf("reads as %T %v (error %v), want string %q", read.Tag, read.Tag, err, tc.value)
			}
		})
	}
}

func TestSetter(t *testing.T) {
	tests := map[string]struct {
		text string
		want edit.Setter
		ok   bool
	}{
		"a policy":             {"ns:app", edit.Setter{Namespace: "ns", Policy: "app"}, true},
		"its tag":              {"ns:app:tag", edit.Setter{Namespace: "ns", Policy: "app", Part: edit.Tag}, true},
		"its name":             {"ns:app:name", edit.Setter{Namespace: "ns", Policy: "app", Part: edit.Name}, true},
		"its digest":           {"ns:app:digest", edit.Setter{Namespace: "ns", Policy: "app", Part: edit.Digest}, true},
		"an unknown part":      {"ns:app:version", edit.Setter{}, false},
		"an empty part":        {"ns:app:", edit.Setter{}, false},
		"no namespace":         {"app", edit.Setter{}, false},
		"an empty namespace":   {":app", edit.Setter{}, false},
		"too many parts":       {"ns:app:tag:x", edit.Setter{}, false},
		"a slash is no colon":  {"ns/app", edit.Setter{}, false},
		"nothing is no setter": {"", edit.Setter{}, false},
		"a blank before it":    {" ns:app", edit.Setter{}, false},
		"a blank within it":    {"ns: app:tag", edit.Setter{}, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := edit.ParseSetter(tc.text)
			if (err == nil) != tc.ok || got != tc.want {
				t.Fatalf("got %+v, error %v; want %+v", got, err, tc.want)
			}
			if tc.ok && got.String() != tc.text {
				t.Errorf("prints as %q, want %q", got, tc.text)
			}
		})
	}
}
