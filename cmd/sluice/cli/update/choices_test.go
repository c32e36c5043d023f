// SPDX-License-Identifier: Apache-2.0

package update

import (
	"strings"
	"testing"

	"github.com/sluice-cd/sluice/writeback/edit"
)

func TestChoices(t *testing.T) {
	tests := map[string]struct {
		content, namespace string
		want               map[string]edit.Image // by namespace:name
		wantErr            string
	}{
		"a map": {
			content: "a:b: localhost:5000/x/y:1.0\nc:d: alpine:3@sha256:" + strings.Repeat("0", 64),
			want: map[string]edit.Image{
				"a:b": {Name: "localhost:5000/x/y", Tag: "1.0"},
				"c:d": {Name: "alpine", Tag: "3", Digest: "sha256:" + strings.Repeat("0", 64)},
			},
		},
		"a policy without a namespace": {
			content: "kind: ImagePolicy\nmetadata: {name: b}\nstatus: {latestRef: {name: x, tag: '1'}}", namespace: "a",
			want: map[string]edit.Image{"a:b": {Name: "x", Tag: "1"}},
		},
		"nobody says the namespace": {content: "kind: ImagePolicy\nmetadata: {name: b}", wantErr: "say which one with -n"},
		"no tag":                    {content: "a:b: localhost:5000/x", wantErr: "has no tag"},
		"no digest":                 {content: "a:b: x:1@latest", wantErr: "is not a digest"},
		"no image":                  {content: "a:b: 'X Y:1'", wantErr: "can only contain the characters"},
		"no namespace":              {content: "b: x:1", wantErr: "is not namespace:name"},
		"a part":                    {content: "a:b:tag: x:1", wantErr: "is not namespace:name"},
		"a number":                  {content: "a:b: 1", wantErr: "must map namespace:name to image:tag"},
		"nothing":                   {content: "kind: Pod", wantErr: "neither ImagePolicies nor lines"},
		"a misspelt field": {
			content: "kind: ImagePolicy\nmetadata: {name: b, namespace: a}\nstatus: {latest: x}",
			wantErr: "unknown field",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			found, err := parseChoices([]byte(tc.content), tc.namespace)
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Errorf("got %v, want %q", err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for key, want := range tc.want {
				namespace, policy, _ := strings.Cut(key, ":")
				if got := found[namespace].Chosen[policy]; got != want {
					t.Errorf("%s: got %+v, want %+v", key, got, want)
				}
			}
		})
	}
}

// FuzzParseChoices checks that what is taken can be written: a name, a tag, and
// a digest or none.
func FuzzParseChoices(f *testing.F) {
	for _, seed := range []string{
		chosenMap,
		chosenManifests,
		"a:b: c:1@sha256:0",
		"- a",
		"{}",
		"---\n---\na:b: c:d:e",
		"kind: List\nitems: [null, 1]",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		found, err := parseChoices(content, "ns")
		if err != nil {
			return
		}
		for namespace, policies := range found {
			if policies.Namespace != namespace {
				t.Errorf("policies of %q under %q", policies.Namespace, namespace)
			}
		}
	})
}
