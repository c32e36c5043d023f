// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestQueriesThatNoServerUnderstands(t *testing.T) {
	cases := map[string]struct{ provider, query, want string }{
		"CloudWatch wants JSON":             {"cloudwatch", `SELECT 1`, "no JSON array"},
		"CloudWatch wants a list":           {"cloudwatch", `{"Id":"a"}`, "no JSON array"},
		"CloudWatch wants entries":          {"cloudwatch", `[]`, "no MetricDataQuery"},
		"an entry has a name":               {"cloudwatch", `[{"Expression":"m1"}]`, "entry 0 has no Id"},
		"an entry has something to compute": {"cloudwatch", `[{"Id":"a"}]`, "entry a needs either"},
		"and not two things":                {"cloudwatch", `[{"Id":"a","Expression":"m1","MetricStat":{}}]`, "entry a needs either"},
		"two entries that return are two series": {
			"cloudwatch",
			`[{"Id":"a","Expression":"m1"},{"Id":"m1","MetricStat":{}}]`,
			"2 of its entries",
		},
		"none that returns is no series":         {"cloudwatch", `[{"Id":"a","Expression":"m1","ReturnData":false}]`, "0 of its entries"},
		"Graphite wants a target":                {"graphite", `from=-2min`, "no target="},
		"Graphite wants a query string":          {"graphite", `target=%zz`, "no query string"},
		"an external metric has a name":          {"externalmetrics", `staging/`, "is no metric"},
		"an external metric is not nothing":      {"externalmetrics", ``, "is no metric"},
		"an external metric is no path":          {"externalmetrics", `staging/a/b`, "is no metric"},
		"an external metric is no hidden path":   {"externalmetrics", `staging/a%2Fb`, "is no metric"},
		"an external metric does not climb":      {"externalmetrics", `staging/..`, "is no metric"},
		"a namespace does not climb":             {"externalmetrics", `../secrets`, "is no namespace"},
		"a selector can be read":                 {"externalmetrics", `a?labelSelector=!!`, "labelSelector"},
		"a web query names no server":            {"web", `//elsewhere/x`, "names a server"},
		"a web query is no URL":                  {"web", `https://elsewhere/x`, "names a server"},
		"a web query does not extend the host":   {"web", `.elsewhere:80/x`, "not the rest"},
		"a web query brings no user":             {"web", `//u@/x`, "names a server"},
		"a web query stays under the address":    {"web", `/../admin`, "leaves the path"},
		"a web query hides no way up":            {"web", `/%2e%2e/admin`, "leaves the path"},
		"a web query has no fragment":            {"web", `/a#b`, "%23"},
		"a web query may be nothing at all":      {"web", ``, ""},
		"a web query that is broken says so":     {"web", `/%zz`, "not the rest of a URL"},
		"a namespace may be left out":            {"externalmetrics", `/queue`, ""},
		"Graphite takes a query over many lines": {"graphite", "target=sum(\n  a)\n&from=-2min", ""},
		"CloudWatch takes what Flagger documents": {
			"cloudwatch",
			`[{"id":"e1","expression":"m1 / m2"},{"Id":"m1","MetricStat":{},"ReturnData":false}]`,
			"",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			err := serverTypes[tc.provider].parse(tc.query)
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("want %q, got %v", tc.want, err)
			}
		})
	}
}

func TestExternalQueries(t *testing.T) {
	cases := map[string]struct {
		query string
		want  external
	}{
		"all parts":                    {"apps/queue?labelSelector=a%3Db,c%3Dd", external{"apps", "queue", "a=b,c=d"}},
		"without labels":               {"apps/queue", external{"apps", "queue", ""}},
		"without a namespace":          {"queue", external{"default", "queue", ""}},
		"with an empty one":            {"/queue", external{"default", "queue", ""}},
		"a name with signs":            {"apps/pubsub.googleapis.com|queue|size", external{"apps", "pubsub.googleapis.com|queue|size", ""}},
		"a name with escaped signs":    {"apps/queue%7Csize", external{"apps", "queue|size", ""}},
		"labels as a set, unescaped =": {"apps/queue?labelSelector=a in (b)", external{"apps", "queue", "a in (b)"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := externalQuery(tc.query)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(external{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestJSONPathsThatLeadNowhere(t *testing.T) {
	for path, good := range map[string]bool{
		"": true, "{.a}": true, "{.a[0].b}": true, `{.a[?(@.b=="c")].d}`: true,
		".a": false, "{.a} ms": false, "{.a": false, "{}": true, "42": false, "{.a[}": false,
		"{42}": false, `{"42"}`: false, "{true}": false, "{.a[0,1]}": false, "{..a}": true, "{..a..b}": false, "{..a[?(@..b==1)]}": false,
	} {
		if err := checkJSONPath(path); (err == nil) != good {
			t.Errorf("%q: %v", path, err)
		}
	}
}

func FuzzQueries(f *testing.F) {
	f.Add(`[{"Id":"a","Expression":"m1"}]`)
	f.Add(`apps/queue?labelSelector=a%3Db`)
	f.Add("target=sum(a)&from=-2min")
	f.Add("/path/%2e%2e/x?a=b c#d")
	f.Fuzz(func(t *testing.T, query string) {
		for _, p := range serverTypes {
			if p.parse != nil {
				_ = p.parse(query)
			}
		}
		if what, err := externalQuery(query); err == nil {
			if strings.Contains(what.metric, "/") || strings.Contains(what.namespace, "/") || what.metric == ".." || what.namespace == ".." {
				t.Errorf("%q becomes the path %q/%q", query, what.namespace, what.metric)
			}
		}
		rest, err := webQuery(query)
		if err != nil {
			return
		}
		base, _ := parseAddress("http://server:80/base/")
		if address := urlOf(base, rest.EscapedPath(), nil); !strings.HasPrefix(address, "http://server:80/base") {
			t.Errorf("%q leaves the address: %s", query, address)
		}
	})
}
