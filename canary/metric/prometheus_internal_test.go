package metric

import (
	"errors"
	"math"
	"net/http"
	"strings"
	"testing"
)

func TestDecode(t *testing.T) {
	vector := func(result string) string {
		return `{"status":"success","data":{"resultType":"vector","result":[` + result + `]}}`
	}
	cases := map[string]struct {
		status  int
		body    string
		want    float64
		wantErr string
		wantIs  error
	}{
		"one series is the value":                {200, vector(`{"metric":{},"value":[1700000000.1,"99.5"]}`), 99.5, "", nil},
		"infinity is a value":                    {200, vector(`{"metric":{},"value":[1,"+Inf"]}`), math.Inf(1), "", nil},
		"a scalar is the value":                  {200, `{"status":"success","data":{"resultType":"scalar","result":[1,"42"]}}`, 42, "", nil},
		"no series is no value":                  {200, vector(``), 0, "", ErrNoValues},
		"dividing by no requests is no value":    {200, vector(`{"value":[1,"NaN"]}`), 0, "", ErrNoValues},
		"two series are ambiguous":               {200, vector(`{"value":[1,"50"]},{"value":[1,"100"]}`), 0, "", ErrManySeries},
		"a range has no single value":            {200, `{"status":"success","data":{"resultType":"matrix","result":[]}}`, 0, "matrix", nil},
		"a broken query says where":              {400, `{"status":"error","errorType":"bad_data","error":"parse error at char 5"}`, 0, "parse error at char 5", nil},
		"a proxy in between is quoted":           {502, "<html>\n Bad   Gateway</html>", 0, "502: <html> Bad Gateway</html>", nil},
		"a page instead of an answer is refused": {200, "<html>", 0, "not from a Prometheus API", nil},
		"a sample without value is refused":      {200, vector(`{"value":[1]}`), 0, "sample", nil},
		"a sample that is no number is refused":  {200, vector(`{"value":[1,"many"]}`), 0, "sample", nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := decode(tc.status, []byte(tc.body))
			switch {
			case tc.wantIs != nil:
				if !errors.Is(err, tc.wantIs) {
					t.Fatalf("want %v, got %v", tc.wantIs, err)
				}
			case tc.wantErr != "":
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Fatalf("want an error with %q, got %v", tc.wantErr, err)
				}
			case err != nil || got != tc.want:
				t.Fatalf("want %v, got %v, %v", tc.want, got, err)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"100"]}]}}`,
		`{"data":{"resultType":"scalar","result":[1,"NaN"]}}`,
		`{"error":"x"}`, `[]`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		value, err := decode(http.StatusOK, body)
		if err == nil && math.IsNaN(value) {
			t.Fatal("NaN passed for a value")
		}
		if err != nil && value != 0 {
			t.Fatalf("value %v beside error %v", value, err)
		}
	})
}

func FuzzRender(f *testing.F) {
	f.Add(`sum(rate(x{ns="{{ namespace }}",q="{{ variables.q }}"}[{{ interval }}]))`)
	f.Add(`{{ variables.missing }}`)
	f.Add(`{{ if }}`)
	f.Fuzz(func(t *testing.T, query string) {
		out, err := render(query, vars{name: "app", interval: "1m", variables: map[string]string{"q": "v"}})
		if err == nil && strings.Contains(out, "<no value>") && !strings.Contains(query, "value") {
			t.Fatalf("a hole in %q", out)
		}
	})
}
