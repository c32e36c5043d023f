// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"bytes"
	"strings"
	"testing"
)

const written = `I1130 no JSON
{"level":"info","ts":"2026-11-30T08:00:00Z","msg":"applied","controllerKind":"Kustomization","name":"app","namespace":"apps","x":{}}
{"level":"error","ts":"2026-11-30T08:00:01Z","msg":"bad","error":"EOF\u001b[2J","controllerKind":"Canary","name":"app","namespace":"apps"}
{"level":"info","ts":"2026-11-30T08:00:02Z","msg":"elsewhere","controllerKind":"Canary","name":"app","namespace":"other"}
{"level":"debug","ts":"2026-11-30T08:00:03Z","msg":"starting"}
{"level":
`

func TestLinesAreThoseThatWereAskedFor(t *testing.T) {
	for name, tc := range map[string]struct {
		filter filter
		raw    bool
		want   string
	}{
		"of a namespace": {filter: filter{namespace: "apps"}, want: "2026-11-30T08:00:00Z info Kustomization/app.apps - applied\n" +
			"2026-11-30T08:00:01Z error Canary/app.apps - bad EOF [2J\n"},
		"of a kind":  {filter: filter{kind: "kustomization"}, want: "2026-11-30T08:00:00Z info Kustomization/app.apps - applied\n"},
		"of a level": {filter: filter{level: "debug"}, want: "2026-11-30T08:00:03Z debug  - starting\n"},
		"of a name and a kind": {
			filter: filter{name: "app", kind: "Canary", namespace: "other"},
			want:   "2026-11-30T08:00:02Z info Canary/app.other - elsewhere\n",
		},
		"of nothing": {filter: filter{name: "none"}},
		"as they are": {
			filter: filter{level: "debug"}, raw: true,
			want: `{"level":"debug","ts":"2026-11-30T08:00:03Z","msg":"starting"}` + "\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			p := &printer{out: &out, filter: tc.filter, raw: tc.raw}
			if err := p.copy(strings.NewReader(written)); err != nil || out.String() != tc.want {
				t.Errorf("got %v, printed:\n%swant:\n%s", err, out.String(), tc.want)
			}
		})
	}
	if err := (&printer{out: &bytes.Buffer{}}).copy(strings.NewReader(strings.Repeat("x", maxLine+1))); err == nil {
		t.Error("a line has no end")
	}
}

func TestWhatIsReadIsSaidOnce(t *testing.T) {
	for name, tc := range map[string]struct {
		reader reader
		want   string
	}{
		"two beginnings":           {reader{since: 1, from: "2026-11-30T08:00:00Z"}, "say the same"},
		"a beginning in no format": {reader{from: "yesterday"}, "--since-time: "},
		"a beginning to come":      {reader{since: -1}, "--since: "},
		"a level that is none":     {reader{filter: filter{level: "loud"}}, "known: debug, info, error"},
	} {
		if _, err := tc.reader.options(); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r := reader{tail: 5, since: 1, follow: true}
	options, err := r.options()
	if err != nil || *options.TailLines != 5 || *options.SinceSeconds != 1 || !options.Follow {
		t.Errorf("%+v, %v", options, err)
	}
}
