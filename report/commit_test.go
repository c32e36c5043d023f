// SPDX-License-Identifier: Apache-2.0

package report_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-cd/sluice/report"
)

func TestWhatACommitChangedInLines(t *testing.T) {
	numbered := func(n int, changed map[int]string) string {
		var b strings.Builder
		for i := range n {
			line, ok := changed[i]
			if !ok {
				line = fmt.Sprintf("a%d: b", i)
			}
			b.WriteString(line + "\n")
		}
		return b.String()
	}
	image := `image: ghcr.io/acme/app:%s # {"$imagepolicy": "apps:app"}`
	for name, tc := range map[string]struct {
		old, now string
		// hunks are as of diff -u, markers as "line marker old -> new: text".
		hunks, markers string
		absent         bool
	}{
		"a marker": {
			old: numbered(9, map[int]string{4: fmt.Sprintf("  "+image, "1.2.3")}),
			now: numbered(9, map[int]string{4: fmt.Sprintf("  "+image, "1.2.4")}),
			hunks: "@@ 2 2\n a1: b\n a2: b\n a3: b\n-  " + fmt.Sprintf(image, "1.2.3") + "\n+  " + fmt.Sprintf(image, "1.2.4") +
				"\n a5: b\n a6: b\n a7: b\n",
			markers: "5 apps:app ghcr.io/acme/app:1.2.3 -> ghcr.io/acme/app:1.2.4: " + fmt.Sprintf(image, "1.2.4") + "\n",
		},
		"two changes far apart": {
			old: numbered(20, nil), now: numbered(20, map[int]string{1: "x", 18: "y"}),
			hunks: "@@ 1 1\n a0: b\n-a1: b\n+x\n a2: b\n a3: b\n a4: b\n@@ 16 16\n a15: b\n a16: b\n a17: b\n-a18: b\n+y\n a19: b\n",
		},
		"lines that came, after which others have other numbers": {
			old: "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n", now: "a\nx\ny\nb\nc\nd\ne\nf\ng\nh\ni\n",
			hunks: "@@ 1 1\n a\n+x\n+y\n b\n c\n d\n@@ 7 9\n g\n h\n i\n-j\n",
		},
		"a file that came": {now: "a\nb", absent: true, hunks: "@@ 1 1\n+a\n+b\n"},
		"changes far apart in a long file": {
			old: numbered(4000, map[int]string{}), now: numbered(4000, map[int]string{0: "x", 3999: "y"}),
			hunks: "@@ 1 1\n-a0: b\n+x\n a1: b\n a2: b\n a3: b\n@@ 3997 3997\n a3996: b\n a3997: b\n a3998: b\n-a3999: b\n+y\n",
		},
		"a value of a Secret, which nobody sees": {
			old: "kind: Secret\nstringData:\n  pw: before\n", now: "kind: Secret\nstringData:\n  pw: afterwards\n",
			hunks: "@@ 1 1\n kind: Secret\n stringData:\n-  pw: *****\n+  pw: *****\n",
		},
		"a marker in a Secret": {
			old:     "kind: Secret\nstringData:\n  tag: 1.2.3 # {\"$imagepolicy\": \"apps:app:tag\"}\n",
			now:     "kind: Secret\nstringData:\n  tag: 1.2.4 # {\"$imagepolicy\": \"apps:app:tag\"}\n",
			hunks:   "@@ 1 1\n kind: Secret\n stringData:\n-  tag: *****\n+  tag: *****\n",
			markers: "3 apps:app:tag ***** -> *****: tag: *****\n",
		},
		"markers that came and went": {
			old: "a: 1 # {\"$imagepolicy\": \"apps:a:tag\"}\nb: 1 # {\"$imagepolicy\": \"apps:b:tag\"}\n",
			now: "b: 1 # {\"$imagepolicy\": \"apps:b:tag\"}\nb: 2 # {\"$imagepolicy\": \"apps:b:tag\"}\n",
			hunks: "@@ 1 1\n-a: 1 # {\"$imagepolicy\": \"apps:a:tag\"}\n b: 1 # {\"$imagepolicy\": \"apps:b:tag\"}\n" +
				"+b: 2 # {\"$imagepolicy\": \"apps:b:tag\"}\n",
			markers: "1 apps:a:tag 1 -> : a: 1 # {\"$imagepolicy\": \"apps:a:tag\"}\n" +
				"2 apps:b:tag  -> 2: b: 2 # {\"$imagepolicy\": \"apps:b:tag\"}\n",
		},
		"a marker that another line pushed down": {
			old: "a: 1 # {\"$imagepolicy\": \"apps:a:tag\"}\n", now: "x: 1\na: 1 # {\"$imagepolicy\": \"apps:a:tag\"}\n",
			hunks: "@@ 1 1\n+x: 1\n a: 1 # {\"$imagepolicy\": \"apps:a:tag\"}\n",
		},
		"a line that is too long": {old: "a\n", now: strings.Repeat("ä", 300), hunks: "@@ 1 1\n-a\n+" + strings.Repeat("ä", 198) + "…\n"},
	} {
		t.Run(name, func(t *testing.T) {
			c := report.OfCommit("", "", []report.FileVersions{{Path: "x.yaml", Existed: !tc.absent, Exists: true, Old: tc.old, New: tc.now}})
			var hunks, markers strings.Builder
			for _, h := range c.Files[0].Hunks {
				fmt.Fprintf(&hunks, "@@ %d %d\n%s\n", h.Old, h.New, strings.Join(h.Lines, "\n"))
			}
			for _, m := range c.Markers {
				fmt.Fprintf(&markers, "%d %s %s -> %s: %s\n", m.Line, m.Marker, m.Old, m.New, m.Text)
			}
			if diff := cmp.Diff(tc.hunks, hunks.String()); diff != "" {
				t.Errorf("hunks (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.markers, markers.String()); diff != "" {
				t.Errorf("markers (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatACommitIsToldOfIsBounded(t *testing.T) {
	var files []report.FileVersions
	for i := range 50 {
		text := strings.Repeat(fmt.Sprintf("\x01%d\n", i), 5000) + strings.Repeat("x", 1000)
		files = append(files, report.FileVersions{Path: fmt.Sprint(i), Exists: true, New: text})
	}
	files = append(files, report.FileVersions{Path: "z", Existed: true, Omitted: "it is too large"})
	c := report.OfCommit(strings.Repeat("ä", 1<<20), strings.Repeat("ü", 1<<20), files)
	text, err := json.Marshal(c)
	if err != nil || len(text) > 1<<20 {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	if len(c.Files) != 51 || c.Files[0].Omitted == "" || c.Files[0].Added != 5001 || len(c.Files[40].Hunks) > 0 {
		t.Errorf("%d files, the first %+v", len(c.Files), c.Files[0].Omitted)
	}
	if last := c.Files[50]; last.Omitted != "it is too large" || last.Change != report.FileRemoved {
		t.Errorf("what was not read is %+v", last)
	}
}
