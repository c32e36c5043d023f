// SPDX-License-Identifier: Apache-2.0

package edit_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-cd/sluice/test/golden"
	"github.com/sluice-cd/sluice/writeback/edit"
)

// chosen are the images of all golden cases.
var chosen = edit.Images{Namespace: "apps", ByPolicy: map[string]edit.Image{
	"app":    {Name: "ghcr.io/acme/app", Tag: "2.0.0"},
	"pinned": {Name: "ghcr.io/acme/app", Tag: "2.0.0", Digest: "sha256:feed"},
	"number": {Name: "localhost:5000/n", Tag: "11"},
}}

// TestGolden edits testdata/<case>/in.yaml and compares the file with want.yaml
// and what is said about its markers with report.txt.
func TestGolden(t *testing.T) {
	cases, err := filepath.Glob("testdata/*/in.yaml")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no golden cases: %v", err)
	}
	for _, in := range cases {
		dir := filepath.Dir(in)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			content, err := os.ReadFile(in)
			if err != nil {
				t.Fatal(err)
			}
			edited, outcomes, err := edit.Apply(content, chosen)
			if err != nil {
				t.Fatal(err)
			}
			golden.Compare(t, filepath.Join(dir, "want.yaml"), edited)
			golden.Compare(t, filepath.Join(dir, "report.txt"), report(outcomes))
			again, _, err := edit.Apply(edited, chosen)
			if err != nil || !bytes.Equal(again, edited) {
				t.Errorf("a second run changes the file again (error %v):\n%s", err, cmp.Diff(string(edited), string(again)))
			}
		})
	}
}

func report(outcomes []edit.MarkerResult) []byte {
	var b bytes.Buffer
	for _, o := range outcomes {
		object := strings.TrimSpace(o.Object.Kind + " " + o.Object.Name)
		switch {
		case o.Changed():
			fmt.Fprintf(&b, "%d: %s: %q -> %q [%s]\n", o.Line, o.Setter, o.Old, o.New, object)
		case o.Skip != "":
			fmt.Fprintf(&b, "%d: skipped: %s\n", o.Line, o.Skip)
		default:
			fmt.Fprintf(&b, "%d: %s: up to date [%s]\n", o.Line, o.Setter, object)
		}
	}
	return b.Bytes()
}
