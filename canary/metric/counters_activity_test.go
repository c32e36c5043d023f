// SPDX-License-Identifier: Apache-2.0

package metric_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestACanaryIsActiveWhereItsCountersRise(t *testing.T) {
	from := time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)
	matrix := func(values ...string) string {
		return `{"status":"success","data":{"resultType":"matrix","result":[` + strings.Join(values, ",") + `]}}`
	}
	series := func(class string, points ...string) string {
		var values []string
		for _, p := range points {
			minute, value, _ := strings.Cut(p, ":")
			var m int
			_, _ = fmt.Sscan(minute, &m)
			values = append(values, fmt.Sprintf(`[%d,%q]`, from.Add(time.Duration(m)*time.Minute).Unix(), value))
		}
		return fmt.Sprintf(`{"metric":{"sluice_class":%q},"values":[%s]}`, class, strings.Join(values, ","))
	}
	for name, tc := range map[string]struct {
		answer string
		want   []int // minutes
		err    string
	}{
		"nothing was counted":                  {matrix(), nil, ""},
		"a counter that rests is no release":   {matrix(series("requests", "-1:7", "0:7", "1:7", "2:7")), nil, ""},
		"a rise is one":                        {matrix(series("requests", "-1:7", "0:7", "1:9", "2:9", "3:10")), []int{1, 3}, ""},
		"pods that come have counted since 0":  {matrix(series("requests", "2:4", "3:4")), []int{2}, ""},
		"pods that come after others are gone": {matrix(series("requests", "0:4", "1:4", "3:2")), []int{0, 3}, ""},
		"errors alone are none":                {matrix(series("errors", "0:1", "1:5")), nil, ""},
		"a histogram counts, too":              {matrix(series("timed", "-1:1", "0:1", "1:5")), []int{1}, ""},
		"a vector is no answer":                {`{"status":"success","data":{"resultType":"vector","result":[]}}`, nil, "returns no matrix"},
		"a refusal is told":                    {`{"status":"error","error":"too many samples"}`, nil, "too many samples"},
	} {
		t.Run(name, func(t *testing.T) {
			var asked *http.Request
			prom := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked = r
				_, _ = w.Write([]byte(tc.answer))
			}))
			defer prom.Close()
			active, err := checker(t, prom.URL).PrepareActivity(t.Context(), canary(), rate, duration)
			if err != nil {
				t.Fatal(err)
			}
			times, err := active(t.Context(), from, from.Add(5*time.Minute), time.Minute)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Fatalf("got %v, want %s", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []int
			for _, at := range times {
				got = append(got, int(at.Sub(from)/time.Minute))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			query := asked.URL.Query()
			if asked.URL.Path != "/api/v1/query_range" || query.Get("step") != "60" || strings.Contains(query.Get("query"), `"primary"`) {
				t.Errorf("asked for %s", asked.URL)
			}
		})
	}
}

func TestAServerWithoutNativeHistogramsIsAskedAboutActivity(t *testing.T) {
	var asked []string
	prom := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Query().Get("query"))
		if strings.Contains(asked[len(asked)-1], "histogram_count(") {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		_, _ = w.Write([]byte(`{"status":"success","data":{"resultType":"matrix","result":[]}}`))
	}))
	defer prom.Close()
	active, err := checker(t, prom.URL).PrepareActivity(t.Context(), canary(), rate)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := active(t.Context(), time.Unix(0, 0), time.Unix(600, 0), time.Minute); err != nil || len(asked) != 2 {
		t.Errorf("%v, asked for %q", err, asked)
	}
}

func TestALongTimeIsAskedForInParts(t *testing.T) {
	var starts []string
	prom := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		starts = append(starts, r.URL.Query().Get("start"))
		_, _ = w.Write([]byte(`{"status":"success","data":{"resultType":"matrix","result":[]}}`))
	}))
	defer prom.Close()
	active, err := checker(t, prom.URL).PrepareActivity(t.Context(), canary(), rate)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := active(t.Context(), time.Unix(1_000_000, 0), time.Unix(1_000_000+25_000*60, 0), time.Minute); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"999940.000", "1599940.000", "2199940.000"}, starts); diff != "" {
		t.Error(diff)
	}
	if _, err := active(t.Context(), time.Unix(0, 0), time.Unix(10, 0), 0); err == nil {
		t.Error("a step of none is no error")
	}
}
