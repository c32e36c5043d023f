// SPDX-License-Identifier: Apache-2.0

package edit

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// tagMarker is the comment of a field that holds the tag of the policy apps:app.
const tagMarker = `# {"$imagepolicy": "apps:app:tag"}`

// TestWhatALineSays reads one marked line, which is a file of its own. M stands for the marker.
func TestWhatALineSays(t *testing.T) {
	tests := map[string]struct {
		text  string
		value string
		skip  Reason
	}{
		"a blank in front of the colon":                  {text: "a : v1 M", value: "v1"},
		"a colon in a quoted key":                        {text: `"a: b": v1 M`, value: "v1"},
		"a colon in a key in single quotes":              {text: `'a: b': v1 M`, value: "v1"},
		"two dashes":                                     {text: "- - v1 M", value: "v1"},
		"a single byte in quotes":                        {text: `a: "b" M`, value: "b"},
		"an empty text":                                  {text: `a: "" M`, value: ""},
		"quotes within quotes":                           {text: `a: "b \" c" M`, value: `b " c`},
		"a backslash at the end":                         {text: `a: "b\\" M`, value: `b\`},
		"two single quotes within single ones":           {text: `a: 'it''s' M`, value: "it's"},
		"two single quotes at the end":                   {text: `a: 'its''' M`, value: "its'"},
		"a comment in quotes":                            {text: `a: "b # c" M`, value: "b # c"},
		"a comment in quotes behind a dash":              {text: `- 'b # c' M`, value: "b # c"},
		"a comment in quotes behind a type":              {text: `a: !!str "b # c" M`, value: "b # c"},
		"a comment in quotes behind an anchor":           {text: `a: &x  "b # c" M`, value: "b # c"},
		"a comment in quotes in a list":                  {text: `["b # c"] M`, value: "b # c"},
		"a comment in quotes in a list, behind blanks":   {text: `[  "b # c"] M`, value: "b # c"},
		"a comment in quotes in a mapping":               {text: `a: {"b": "c # d"} M`, value: "c # d"},
		"a quote in a word":                              {text: `a: it's M`, value: "it's"},
		"a quote behind a word":                          {text: `a: b 'c M`, value: "b 'c"},
		"a number sign in a word":                        {text: `a: b#c M`, value: "b#c"},
		"a list of one byte":                             {text: "a: [1] M", value: "1"},
		"a list of one value and blanks":                 {text: "a: [ v1 ]  M", value: "v1"},
		"a mapping of one value":                         {text: "a: {b: v1} M", value: "v1"},
		"a mapping of one value, without blanks":         {text: `a: {"b":"v1"} M`, skip: Flow},
		"no value":                                       {text: "a: M", skip: NoValue},
		"no value behind a dash":                         {text: "- M", skip: NoValue},
		"an anchor alone":                                {text: "a: &x M", skip: NoValue},
		"a template expression":                          {text: "a: {{ .x }} M", skip: Template},
		"a template expression for a key":                {text: "{{ .x }}: v1 M", skip: Template},
		"the end of a template expression":               {text: "a: b}} M", skip: Template},
		"the start of a template expression":             {text: "a: b{{ M", skip: Template},
		"a key that is anything":                         {text: "? v1 M", skip: Unsupported},
		"a directive":                                    {text: "%TAG ! x M", skip: Unsupported},
		"the start of a document":                        {text: "--- v1 M", skip: Unsupported},
		"an indicator that is reserved":                  {text: "a: @x M", skip: Unsupported},
		"the other indicator that is reserved":           {text: "a: `x M", skip: Unsupported},
		"a per cent sign":                                {text: "a: %x M", skip: Unsupported},
		"a block scalar":                                 {text: "a: > M", skip: BlockScalar},
		"an alias":                                       {text: "a: *x M", skip: Alias},
		"a list of two values":                           {text: "a: [v1, v2] M", skip: Flow},
		"a list without a value":                         {text: "a: [] M", skip: Flow},
		"a list of a blank":                              {text: "a: [ ] M", skip: Flow},
		"a mapping without a value":                      {text: "a: {} M", skip: Flow},
		"a mapping in a list":                            {text: "a: [{b: v1}] M", skip: Flow},
		"a list that goes on":                            {text: "a: [ M", skip: Flow},
		"the end of a list":                              {text: "a: ] M", skip: Flow},
		"the end of a mapping":                           {text: "a: } M", skip: Flow},
		"text behind quotes":                             {text: `a: "b" c M`, skip: Flow},
		"a word in quotes in front of others":            {text: `"a" b c M`, skip: Flow},
		"a word in quotes in front of a key":             {text: `"a" b: c M`, skip: Flow},
		"a comma behind what a template may end":         {text: "{{ x }}\na: v1, M", skip: Unsupported},
		"a colon behind what a template may end":         {text: "{{ x }}\na: v1: M", skip: Unsupported},
		"a colon within, beside a template":              {text: "{{ x }}\na: b: c M", skip: Unsupported},
		"a comma in quotes, beside a template":           {text: "{{ x }}\na: \"b: c,\" M", value: "b: c,"},
		"a list of one, beside a template":               {text: "{{ x }}\na: [v1] M", skip: Unsupported},
		"a key of many words, beside a template":         {text: "{{ x }}\na b: v1 M", skip: Unsupported},
		"an anchor, beside a template":                   {text: "{{ x }}\na: &x v1 M", skip: Unsupported},
		"a key in quotes, beside a template":             {text: "{{ x }}\n\"a b\" : v1 M", value: "v1"},
		"quotes that are closed on the line below":       {text: "a: \"b M\n  c\"", skip: InText},
		"the marker of a line in quotes":                 {text: "a: 'b\n  c: v1 M\n  '", skip: Multiline},
		"a line in quotes that ends like a block's":      {text: "a: 'b\n  c: |\n   d: v1 M\n  '", skip: Multiline},
		"a block whose key has a blank behind it":        {text: "a : |\n b: v1 M", value: "v1"},
		"a block in a list, indented by one":             {text: "- |\n b: v1 M", value: "v1"},
		"a folded block in a list, indented by one":      {text: "- >\n b: v1 M", skip: Folded},
		"a block in a list of lists":                     {text: "- - |\n   b: v1 M", value: "v1"},
		"a block in a mapping of a list":                 {text: "- a: |\n    b: v1 M\n  c: d", value: "v1"},
		"a field behind a block in a mapping of a list":  {text: "- a: |\n    b\n  c: v1 M", value: "v1"},
		"a comment that ends like the header of a block": {text: "# a |\n  b: v1 M", value: "v1"},
		"a block that begins with an empty line":         {text: "a: |\n\n  b: v1 M", value: "v1"},
		"a block of a known indentation":                 {text: "a: |1\n  b: v1 M", value: "v1"},
		"a block of less indentation than it says":       {text: "a: |4\n  b: v1 M", skip: Multiline},
		"a folded block with a comment":                  {text: "a: > # text\n  b: v1 M", skip: Folded},
		"a literal block with a comment":                 {text: "a: | # text\n  b: v1 M", value: "v1"},
		"a block behind a byte order mark":               {text: "\uFEFFa: |\n  b: v1 M", value: "v1"},
		"a line behind a byte order mark":                {text: "\uFEFFa: v1 M", value: "v1"},
		"a marker above a dash":                          {text: "M\n-", skip: OwnLine},
		"a marker above an anchor":                       {text: "M\na: &x\n  v1", skip: OwnLine},
		"a marker above an item":                         {text: "a:\nM\n- v1", value: "v1"},
		"a marker above two blank lines":                 {text: "a:\nM\n\n- v1", skip: OwnLine},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			content := strings.ReplaceAll(tc.text, "M", tagMarker)
			markers := Scan([]byte(content + "\n"))
			if len(markers) != 1 {
				t.Fatalf("%q: %+v", content, markers)
			}
			if m := markers[0]; m.Skip != tc.skip || tc.skip == "" && m.Value != tc.value {
				t.Errorf("%q: skipped %q, value %q; want %q, %q", content, m.Skip, m.Value, tc.skip, tc.value)
			}
		})
	}
}

func TestLineBreaksAreThoseOfTheParser(t *testing.T) {
	for text, want := range map[string][2]int{
		"a\nb": {1, 1}, "a\rb": {1, 1}, "a\r\nb": {1, 2}, "a\r": {1, 1}, "a\u0085b": {1, 2}, "a\u2028b": {1, 3}, "a\u2029b": {1, 3},
		"a": {1, 0}, "": {0, 0}, "\xC2": {1, 0}, "\xE2": {1, 0}, "\xE2\x80": {2, 0}, "\u00a9\n": {2, 1}, "\u2026\n": {3, 1}, "\u2603\n": {3, 1},
		"\xC2\n": {1, 1}, "\xE2\n": {1, 1}, "\xE2\x80\n": {2, 1},
	} {
		if length, width := nextBreak([]byte(text)); length != want[0] || width != want[1] {
			t.Errorf("%q breaks after %d bytes, for %d", text, length, width)
		}
	}
}

func TestDocumentsAreDividedAtTheirMarkers(t *testing.T) {
	for content, want := range map[string][]document{
		"":                     nil,
		"a: b":                 {{1, 0, 4}},
		"---\na: b\n":          {{1, 0, 9}},
		"a: b\n---\nc: d\n":    {{1, 0, 5}, {2, 5, 14}},
		"a: b\n--- c\n":        {{1, 0, 5}, {2, 5, 11}},
		"a: b\n---":            {{1, 0, 5}, {2, 5, 8}},
		"a: b\n----\n":         {{1, 0, 10}},
		"a: |\n  ---\n  b\n":   {{1, 0, 15}},
		"---\n---\n":           {{1, 0, 4}, {2, 4, 8}},
		"a: b\r\n---\t\r\nc\n": {{1, 0, 6}, {2, 6, 14}},
	} {
		if diff := cmp.Diff(want, splitDocuments([]byte(content)), cmp.AllowUnexported(document{})); diff != "" {
			t.Errorf("%q: %s", content, diff)
		}
	}
}

func TestTheEndOfQuotesThatAreOpen(t *testing.T) {
	for name, tc := range map[string]struct {
		text  string
		quote byte
		want  int // behind the quote; 0 if they stay open
	}{
		"the first quote":                     {`a" b"`, '"', 2},
		"behind an escaped one":               {`a\" b"`, '"', 6},
		"behind an escaped backslash":         {`a\\" b`, '"', 4},
		"at the very end":                     {`a"`, '"', 2},
		"none":                                {`a`, '"', 0},
		"an escaped one alone":                {`a\"`, '"', 0},
		"a backslash at the very end":         {`a\`, '"', 0},
		"the first single quote":              {`a' b'`, '\'', 2},
		"behind two single quotes":            {`a'' b'`, '\'', 6},
		"two single quotes":                   {`a''`, '\'', 0},
		"a backslash in front of a single":    {`a\'`, '\'', 3},
		"two double quotes end at the first":  {`a""`, '"', 2},
		"a single quote does not end doubles": {`a'b"`, '"', 4},
	} {
		if end, closed := closing([]byte(tc.text), 0, tc.quote); end != tc.want || closed != (tc.want > 0) {
			t.Errorf("%s: %d, %v", name, end, closed)
		}
	}
}

func TestColumnsCountRunes(t *testing.T) {
	for name, tc := range map[string]struct {
		text   string
		column int
		at     int
		ok     bool
	}{
		"the first":             {"ab", 1, 0, true},
		"behind wide letters":   {"ü☃b", 3, 5, true},
		"the end":               {"ab", 3, 2, false},
		"behind the end":        {"ab", 5, 0, false},
		"the first of no text":  {"", 1, 0, false},
		"the second of no text": {"", 2, 0, false},
	} {
		if at, ok := columnOf([]byte(tc.text), tc.column); ok != tc.ok || ok && at != tc.at {
			t.Errorf("%s: %d, %v", name, at, ok)
		}
		if at, ok := byteOf([]byte(tc.text), tc.column); ok != tc.ok || ok && at != tc.at {
			t.Errorf("%s, of a path: %d, %v", name, at, ok)
		}
	}
}

func TestWhatIsBetweenAMarkerAndTheNextValue(t *testing.T) {
	for between, want := range map[string]bool{"": true, "\n": true, "# why\n": true, "  # why\n\n": true, "a:\n": false, "\n  b\n": false} {
		content := []byte("first:\n" + between + "last: v1\n")
		lines := document{first: 1, end: len(content)}.lines(content)
		if got := (adoption{lines: lines}).nothingBetween(1, len(lines)); got != want {
			t.Errorf("%q: %v", between, got)
		}
	}
}

// TestASiteIsWhatIsBesideAValue reads the field "at" of a mapping.
func TestASiteIsWhatIsBesideAValue(t *testing.T) {
	for name, tc := range map[string]struct {
		mapping string
		object  Object
		want    markerSite
	}{
		"nothing":                    {"at: x", Object{}, markerSite{key: "at"}},
		"a tag":                      {"at: x\ntag: v1", Object{}, markerSite{key: "at", apart: true}},
		"a tag in front":             {"newTag: v1\nat: x", Object{}, markerSite{key: "at", apart: true}},
		"an empty tag":               {"at: x\ntag: ''", Object{}, markerSite{key: "at"}},
		"a tag that is a mapping":    {"at: x\ntag: {a: b}", Object{}, markerSite{key: "at"}},
		"an alias for a tag":         {"a: &a v1\nat: x\ntag: *a", Object{}, markerSite{key: "at"}},
		"a field of a kustomization": {"at: x", Object{Kind: "Kustomization"}, markerSite{key: "at", kustom: true}},
		"a field of a component":     {"at: x", Object{Kind: "Component"}, markerSite{key: "at", kustom: true}},
		"a field of another object":  {"at: x", Object{Kind: "Deployment"}, markerSite{key: "at"}},
		"a tag behind more fields than are read": {
			"at: x\n" + strings.Repeat("a: b\n", maxBeside-1) + "tag: v1", Object{}, markerSite{key: "at"}},
		"a tag that is the last that is read": {
			"at: x\n" + strings.Repeat("a: b\n", maxBeside-2) + "tag: v1", Object{}, markerSite{key: "at", apart: true},
		},
	} {
		var document yaml.Node
		if err := yaml.Unmarshal([]byte(tc.mapping), &document); err != nil {
			t.Fatal(err)
		}
		mapping := document.Content[0]
		got := siteOf(valueNode{node: member(mapping, "at"), object: tc.object, mapping: mapping, key: "at"})
		if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(markerSite{})); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if got := siteOf(valueNode{node: &yaml.Node{}, object: Object{Kind: "Kustomization"}}); !got.kustom {
		t.Errorf("an item of a list of a kustomization: %+v", got)
	}
}

func TestTheTagsThatAreWrittenOut(t *testing.T) {
	for tag, want := range map[string]string{"!!str": "!!str", "!<tag:yaml.org,2002:int>": "!!int", "!image": "!image", "!": "!"} {
		if got := shortTag([]byte(tag)); got != want {
			t.Errorf("%s is %s", tag, got)
		}
	}
}
