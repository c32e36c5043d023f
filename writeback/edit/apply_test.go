// SPDX-License-Identifier: Apache-2.0

package edit

import (
	"strings"
	"testing"
)

// TestAnEditThatDoesMoreThanItShouldIsGivenUp has a value that is on the line of its marker,
// and one that is not.
func TestAnEditThatDoesMoreThanItShouldIsGivenUp(t *testing.T) {
	const content = "near: 1.0.0 " + tagMarker + "\nfar: &x " + tagMarker + "\n  1.0.1\nsame: 2.0.0 " + tagMarker + "\n"
	images := Images{Namespace: "apps", ByPolicy: map[string]Image{"app": {Name: "n", Tag: "2.0.0"}}}
	isFar := func(o MarkerResult) bool { return o.Changed() && o.span.far }
	tests := map[string]struct {
		holds     func(after string, far bool) bool
		near, far string // the values in the end
	}{
		"one that does what it should is kept":        {func(string, bool) bool { return true }, "2.0.0", "2.0.0"},
		"the values on other lines are doubted first": {func(_ string, far bool) bool { return !far }, "2.0.0", "1.0.1"},
		"then all are": {func(string, bool) bool { return false }, "1.0.0", "1.0.1"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			outcomes := Plan(Scan([]byte(content)), images)
			if len(outcomes) != 3 || !isFar(outcomes[1]) || isFar(outcomes[0]) {
				t.Fatalf("%+v", outcomes)
			}
			edited := string(applyVerified([]byte(content), outcomes, func(_, after []byte, outcomes []MarkerResult) bool {
				return tc.holds(string(after), isFar(outcomes[1]))
			}))
			want := strings.NewReplacer("1.0.0", tc.near, "1.0.1", tc.far).Replace(content)
			if edited != want {
				t.Errorf("got\n%s", edited)
			}
			for i, written := range []bool{tc.near == "2.0.0", tc.far == "2.0.0"} {
				if o := outcomes[i]; o.Changed() != written || !written && (o.Skip != Unsupported || o.New != o.Old) {
					t.Errorf("%+v", o)
				}
			}
			if o := outcomes[2]; o.Skip != "" || o.Changed() {
				t.Errorf("what is up to date: %+v", o)
			}
		})
	}
	t.Run("nobody is asked where nothing changes", func(t *testing.T) {
		same := []byte("a: 2.0.0 " + tagMarker + "\n")
		applyVerified(same, Plan(Scan(same), images), func(_, _ []byte, _ []MarkerResult) bool {
			t.Error("the parser is asked")
			return true
		})
	})
}

func TestTwoEditsOfOnePlaceAreNotMadeOnTopOfEachOther(t *testing.T) {
	value := func(start, end int, new string) MarkerResult {
		return MarkerResult{Old: "old", New: new, span: span{start: start, end: end}}
	}
	const content = "a: old, b: old"
	for name, tc := range map[string]struct {
		outcomes []MarkerResult
		want     string
	}{
		"none":           {nil, content},
		"one":            {[]MarkerResult{value(3, 6, "x1")}, "a: x1, b: old"},
		"two":            {[]MarkerResult{value(3, 6, "x1"), value(11, 14, "x2")}, "a: x1, b: x2"},
		"the same twice": {[]MarkerResult{value(3, 6, "x1"), value(3, 6, "x2")}, "a: x1, b: old"},
		"side by side":   {[]MarkerResult{value(3, 6, "x1"), value(6, 7, "x2")}, "a: x1x2 b: old"},
		"backwards":      {[]MarkerResult{value(11, 14, "x1"), value(3, 6, "x2")}, "a: old, b: x1"},
	} {
		if got := string(splice([]byte(content), tc.outcomes)); got != tc.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestAChangeIsShownWithItsSetter(t *testing.T) {
	o := MarkerResult{Old: "1", New: "2", Setter: Setter{Namespace: "apps", Policy: "app", Part: Tag}}
	if got, want := o.Change(), (Change{OldValue: "1", NewValue: "2", Setter: "apps:app:tag"}); got != want {
		t.Errorf("%+v", got)
	}
}

func TestReasonsThatHoldAValue(t *testing.T) {
	for _, why := range []Reason{NeedsTag, NeedsName, NeedsDigest, NeedsAll, HoldsMore, Base64, Encrypted} {
		if !why.Held() {
			t.Errorf("%q does not", why)
		}
	}
	for _, why := range []Reason{"", OwnLine, Template, UnknownPolicy, MissingPart} {
		if why.Held() {
			t.Errorf("%q does", why)
		}
	}
}

func TestWhatTheErrorOfAFieldSays(t *testing.T) {
	for name, tc := range map[string]struct {
		err     FieldError
		want    string
		missing bool
	}{
		"without a line": {FieldError{Field: "yaml a", Why: MissingField}, "yaml a: " + string(MissingField), false},
		"with a line": {
			FieldError{Field: "yaml a", Line: 7, Why: EmptyField}, "line 7: yaml a: " + string(EmptyField), false,
		},
		"a reason that speaks of markers": {
			FieldError{Field: "json a", Why: NeedsTag}, "json a: the field holds a tag, for which part has to be tag", false,
		},
		"an image that does not have a part": {
			FieldError{Field: "json a", Why: MissingPart},
			"json a: the image does not have the part that the setter asks for", true,
		},
	} {
		if got := tc.err.Error(); got != tc.want {
			t.Errorf("%s: %s", name, got)
		}
		if got := tc.err.Unwrap() == ErrMissingPart; got != tc.missing { //nolint:errorlint // it is what is wrapped
			t.Errorf("%s: wraps %v", name, tc.err.Unwrap())
		}
	}
}

func TestAnImageIsAReferenceIfItHasANameAndATag(t *testing.T) {
	for name, tc := range map[string]struct {
		image Image
		want  string
	}{
		"a name and a tag": {Image{Name: "app", Tag: "1"}, "app:1"},
		"a digest, too":    {Image{Name: "app", Tag: "1", Digest: "sha256:a"}, "app:1@sha256:a"},
		"no name":          {Image{Tag: "1"}, ""},
		"no tag":           {Image{Name: "app", Digest: "sha256:a"}, ""},
	} {
		if got := tc.image.part(Reference); got != tc.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestNearMissesAreShownShortened(t *testing.T) {
	const most = 120
	comment := func(length int) string {
		return "# {'$imagepolicy': '" + strings.Repeat("x", length-len("# {'$imagepolicy': ''}")) + "'}"
	}
	for name, tc := range map[string]struct{ comment, want string }{
		"as long as it may be": {comment(most), comment(most)},
		"longer":               {comment(most + 1), comment(most + 1)[:most-3] + "..."},
		"no UTF-8":             {"# {'$imagepolicy': '\xff'}", "# {'$imagepolicy': '\uFFFD'}"},
	} {
		markers := Scan([]byte("a: b " + tc.comment + "\n"))
		if len(markers) != 1 || markers[0].Text != tc.want {
			t.Errorf("%s: %+v", name, markers)
		}
	}
	if markers := Scan([]byte("a: b " + tagMarker + "\n")); len(markers) != 1 || markers[0].Text != "" {
		t.Errorf("a marker has its text, too: %+v", markers)
	}
}

func TestWhyAMarkerIsNoJSON(t *testing.T) {
	const marker = `{"$imagepolicy": "apps:app"}`
	for comment, want := range map[string]Reason{
		"# " + marker:                "",
		"#" + marker + " ":           "",
		"# see " + marker:            TextAround,
		"# " + marker + " please":    TextAround,
		"# " + marker + "x":          TextAround,
		"# x" + marker:               TextAround,
		"# " + marker + " " + marker: TextAround,
		"# {x} " + marker:            TextAround,
		"# {'$imagepolicy': 'a:b'}":  SingleQuotes,
		"# {$imagepolicy: a}":        NotJSON,
		"# } $imagepolicy {":         NotJSON,
		"# { $imagepolicy":           NotJSON,
		"# {\"$imagepolicy\": 1}":    NotJSON,
	} {
		if _, skip, found := readComment([]byte(comment)); !found || skip != want {
			t.Errorf("%s: %q, %v", comment, skip, found)
		}
	}
}
