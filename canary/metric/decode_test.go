// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"errors"
	"math"
	"strings"
	"testing"
)

// answer is what a decoder makes of a body.
type answer struct {
	body    string
	want    float64
	wantIs  error  // or this error
	wantErr string // or one with this text
}

func decodes(t *testing.T, decode func([]byte) (float64, error), cases map[string]answer) {
	t.Helper()
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := decode([]byte(tc.body))
			switch {
			case tc.wantIs != nil:
				if !errors.Is(err, tc.wantIs) {
					t.Fatalf("want %v, got %v, %v", tc.wantIs, got, err)
				}
			case tc.wantErr != "":
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) || errors.Is(err, ErrNoValues) {
					t.Fatalf("want an error with %q, got %v, %v", tc.wantErr, got, err)
				}
			case err != nil || got != tc.want:
				t.Fatalf("want %v, got %v, %v", tc.want, got, err)
			}
			if err != nil && got != 0 {
				t.Errorf("value %v beside error %v", got, err)
			}
		})
	}
}

func TestPrometheusAnswers(t *testing.T) {
	decodes(t, decodePrometheus, map[string]answer{
		"infinity is a value":   {body: `{"data":{"resultType":"vector","result":[{"value":[1,"+Inf"]}]}}`, want: math.Inf(1)},
		"a scalar is the value": {body: `{"data":{"resultType":"scalar","result":[1,"42"]}}`, want: 42},
		"dividing by no requests is no value": {
			body:   `{"data":{"resultType":"vector","result":[{"value":[1,"NaN"]}]}}`,
			wantIs: ErrNoValues,
		},
		"a range has no single value": {body: `{"data":{"resultType":"matrix","result":[]}}`, wantErr: "matrix"},
		"an error may come with status 200": {
			body:    `{"status":"error","error":"parse error at char 5"}`,
			wantErr: "parse error at char 5",
		},
		"a page instead of an answer is refused": {body: `<html>`, wantErr: "not from a Prometheus API"},
		"a sample without value is refused":      {body: `{"data":{"resultType":"vector","result":[{"value":[1]}]}}`, wantErr: "sample"},
		"a sample that is no number is refused": {
			body:    `{"data":{"resultType":"vector","result":[{"value":[1,"many"]}]}}`,
			wantErr: "a text of 4 bytes is none",
		},
		"a series without sample is refused": {body: `{"data":{"resultType":"vector","result":[{}]}}`, wantErr: "sample"},
		"the last of several series does not win": {
			body:   `{"data":{"resultType":"vector","result":[{"value":[1,"50"]},{"value":[1,"100"]}]}}`,
			wantIs: ErrManySeries,
		},
		"a series that divides by none counts too": {
			body:   `{"data":{"resultType":"vector","result":[{"value":[1,"NaN"]},{"value":[1,"1"]}]}}`,
			wantIs: ErrManySeries,
		},
	})
}

// TestDatadogTakesTheNewestCompletePoint: the oldest, which Flagger takes, is ten
// intervals old.
func TestDatadogTakesTheNewestCompletePoint(t *testing.T) {
	decode := func(body []byte) (float64, error) { return decodeDatadog(body, now) }
	decodes(t, decode, map[string]answer{
		"the newest whose time is over": {
			body: `{"series":[{"interval":60,"pointlist":[[1699999880000,1],[1699999940000,2],[1700000000000,3]]}]}`,
			want: 2,
		},
		"a gap is filled by the one before": {
			body: `{"series":[{"interval":10,"pointlist":[[1699999880000,1],[1699999900000,null]]}]}`,
			want: 1,
		},
		"without an interval points tell it": {
			body: `{"series":[{"pointlist":[[1699999880000,1],[1699999940000,2],[1700000000000,3]]}]}`,
			want: 2,
		},
		"a point alone is over when it is past": {body: `{"series":[{"pointlist":[[1699999880000,1]]}]}`, want: 1},
		"old recordings have no incomplete one": {
			body: `{"series": [{"pointlist": [[1577232000000,1.1],[1577318400000,5.5],[1577404800000,2.9]]}]}`,
			want: 2.9,
		},
		"a series without points is none":      {body: `{"series":[{"pointlist":[]},{"pointlist":[[1,5]]}]}`, want: 5},
		"a query that is wrong has status 200": {body: `{"status":"error","error":"Error parsing query"}`, wantErr: "Error parsing query"},
		"a point without time is refused":      {body: `{"series":[{"pointlist":[[null,5]]}]}`, wantErr: "the time of a point"},
		"a value that is none is refused":      {body: `{"series":[{"pointlist":[[1,{}]]}]}`, wantErr: "number"},
	})
}

func TestNewRelicAnswers(t *testing.T) {
	decodes(t, decodeNewRelic, map[string]answer{
		"an expression is called result":  {body: `{"results":[{"result":1.5}]}`, want: 1.5},
		"a function has its own name":     {body: `{"results":[{"average":1.5}]}`, want: 1.5},
		"two values are ambiguous":        {body: `{"results":[{"min":1,"max":2}]}`, wantIs: ErrManySeries},
		"a result among others is it":     {body: `{"results":[{"min":1,"result":2}]}`, want: 2},
		"facets are several":              {body: `{"facets":[{"name":"a","results":[{"result":1}]}]}`, wantIs: ErrManySeries},
		"an error may come with 200":      {body: `{"error":{"title":"Unknown function"}}`, wantErr: "Unknown function"},
		"a percentile is no plain number": {body: `{"results":[{"percentiles":{"95":1}}]}`, wantErr: "number"},
	})
}

func TestGraphiteAnswers(t *testing.T) {
	decodes(t, decodeGraphite, map[string]answer{
		"the last that has arrived":          {body: `[{"datapoints":[[10,1],[75,2],[null,3]]}]`, want: 75},
		"numbers may be in quotes":           {body: `[{"datapoints":[["10.5","1"]]}]`, want: 10.5},
		"too large is infinity":              {body: `[{"datapoints":[[1e9999,1]]}]`, want: math.Inf(1)},
		"the last of several does not win":   {body: `[{"datapoints":[[10,1]]},{"datapoints":[[20,1]]}]`, wantIs: ErrManySeries},
		"a point without time is refused":    {body: `[{"datapoints":[[10]]}]`, wantErr: "1 parts"},
		"a text instead of a value is not 0": {body: `[{"datapoints":[["many",1]]}]`, wantErr: "a text of 4 bytes is none"},
	})
}

func TestFluxAnswers(t *testing.T) {
	const header = "#datatype,string,long,dateTime:RFC3339,double,string\n#group,false,false,false,false,true\n" +
		"#default,_result,,,,\n,result,table,_time,_value,app\n"
	decodes(t, decodeFlux, map[string]answer{
		"the first row is the value":        {body: header + ",,0,2020-02-18T10:34:08Z,1.4,a\n,,0,2020-02-18T22:08:44Z,6.6,a\n", want: 1.4},
		"a count is a whole number":         {body: strings.Replace(header, "double", "long", 1) + ",,0,,7,a\n", want: 7},
		"unsigned numbers count too":        {body: strings.Replace(header, "double", "unsignedLong", 1) + ",,0,,7,a\n", want: 7},
		"a default stands for what is left": {body: strings.Replace(header, "_result,,,,", "_result,,,9,", 1) + ",,0,,,a\n", want: 9},
		"a text is no number":               {body: strings.Replace(header, "double", "string", 1) + ",,0,,7,a\n", wantErr: "type string"},
		"two tables are two series":         {body: header + ",,0,,1,a\n,,1,,2,b\n", wantIs: ErrManySeries},
		"tables of two schemas are several": {body: header + ",,0,,1,a\n\n" + header + ",other,0,,2,b\n", wantIs: ErrManySeries},
		"an empty answer is not zero":       {body: "", wantIs: ErrNoValues},
		"a header alone has no values":      {body: header, wantIs: ErrNoValues},
		"an error comes as a table": {
			body:    "#datatype,string,string\n#group,true,true\n#default,,\n,error,reference\n,failed to find bucket,897\n",
			wantErr: "failed to find bucket",
		},
		"rows need a value": {
			body:    "#datatype,string,long\n#group,false,false\n#default,_result,\n,result,table\n,,0\n",
			wantErr: "without a column _value",
		},
		"without annotations it is read": {body: ",result,table,_value\n,,0,3\n", want: 3},
		"broken quotes are refused":      {body: "a\"b,c\n", wantErr: "InfluxDB"},
		"a page is refused":              {body: "<html>\n", wantErr: "no header"},
	})
}

func TestStackdriverAnswers(t *testing.T) {
	decodes(t, decodeStackdriver, map[string]answer{
		"an integer is not zero": {body: `{"timeSeriesData":[{"pointData":[{"values":[{"int64Value":"12"}]}]}]}`, want: 12},
		"true is one":            {body: `{"timeSeriesData":[{"pointData":[{"values":[{"boolValue":true}]}]}]}`, want: 1},
		"the first column counts": {
			body: `{"timeSeriesData":[{"pointData":[{"values":[{"doubleValue":1},{"doubleValue":2}]}]}]}`,
			want: 1,
		},
		"a distribution is no number": {
			body:    `{"timeSeriesData":[{"pointData":[{"values":[{"distributionValue":{}}]}]}]}`,
			wantErr: "distributions",
		},
		"half an answer is none": {body: `{"timeSeriesData":[],"partialErrors":[{"message":"timed out"}]}`, wantErr: "timed out"},
		"the first of several does not count": {
			body:   `{"timeSeriesData":[{"pointData":[{"values":[{"doubleValue":1}]}]},{"pointData":[{"values":[{"doubleValue":2}]}]}]}`,
			wantIs: ErrManySeries,
		},
	})
}

func TestSignalFlowAnswers(t *testing.T) {
	decodes(t, decodeSignalFlow, map[string]answer{
		"the last value counts": {
			body: "event: data\ndata: {\"data\":[{\"tsId\":\"A\",\"value\":1}]}\n\nevent: data\ndata: {\"data\":[{\"tsId\":\"A\",\"value\":2}]}\n\n",
			want: 2,
		},
		"lines may end as they like": {body: "event:data\r\ndata:{\"data\":[{\"tsId\":\"A\",\"value\":2}]}\r\n\r\n", want: 2},
		"an error ends a program": {
			body:    "event: error\ndata: {\"errors\":[{\"code\":\"ANALYTICS_PROGRAM_NAME_ERROR\",\"context\":{}}]}\n\n",
			wantErr: "ANALYTICS_PROGRAM_NAME_ERROR",
		},
		"so does being aborted": {
			body: "event: control-message\ndata: {\"event\":\"CHANNEL_ABORT\",\"abortInfo\":{\"sf_job_abortState\":\"ABORTED\"," +
				"\"sf_job_abortReason\":\"too slow\"}}\n\n",
			wantErr: "ABORTED too slow",
		},
		"data that is none":   {body: "event: data\ndata: {\n\n", wantErr: "reading the data"},
		"a page is no stream": {body: "<html>\n", wantErr: "not from SignalFlow"},
	})
}

func TestCloudWatchAnswers(t *testing.T) {
	decodes(t, decodeCloudWatch, map[string]answer{
		"the newest comes first": {body: cloudWatchAnswer(`<member><Values><member>3</member><member>1</member></Values></member>`), want: 3},
		"what may not be read fails": {
			body: cloudWatchAnswer(`<member><Id>e1</Id><StatusCode>Forbidden</StatusCode><Messages><member>` +
				`<Code>x</Code><Value>no access</Value></member></Messages></member>`),
			wantErr: "Forbidden for e1: no access",
		},
		"part of the data will do": {
			body: cloudWatchAnswer(`<member><StatusCode>PartialData</StatusCode><Values><member>3</member></Values></member>`),
			want: 3,
		},
		"another answer is refused": {body: `<Other/>`, wantErr: "not from CloudWatch"},
	})
}

func TestWebAnswers(t *testing.T) {
	cases := map[string]struct {
		path string
		answer
	}{
		"the answer itself":    {"", answer{body: `99.5`, want: 99.5}},
		"a number in quotes":   {"", answer{body: `"99.5"`, want: 99.5}},
		"yes is one":           {"{.ok}", answer{body: `{"ok":true}`, want: 1}},
		"no is zero":           {"{.ok}", answer{body: `{"ok":false}`, want: 0}},
		"a path through lists": {"{.items[0].value}", answer{body: `{"items":[{"value":5}]}`, want: 5}},
		"a path that chooses": {
			`{.items[?(@.name=="b")].value}`,
			answer{body: `{"items":[{"name":"a","value":1},{"name":"b","value":2}]}`, want: 2},
		},
		"an item that is not there":      {"{.items[0].value}", answer{body: `{"items":[]}`, wantIs: ErrNoValues}},
		"a field that is not there":      {"{.a.b}", answer{body: `{"a":{}}`, wantIs: ErrNoValues}},
		"null is no value":               {"{.a}", answer{body: `{"a":null}`, wantIs: ErrNoValues}},
		"several are ambiguous":          {"{.items[*].value}", answer{body: `{"items":[{"value":1},{"value":2}]}`, wantIs: ErrManySeries}},
		"two paths are ambiguous":        {"{.a}{.b}", answer{body: `{"a":1,"b":2}`, wantIs: ErrManySeries}},
		"an object is no number":         {"{.a}", answer{body: `{"a":{}}`, wantErr: "list or an object"}},
		"a list is no number":            {"{.a}", answer{body: `{"a":[1]}`, wantErr: "list or an object"}},
		"a text is no number":            {"{.a}", answer{body: `{"a":"12%"}`, wantErr: "a text of 3 bytes is none"}},
		"a path into what has no fields": {"{.a[0]}", answer{body: `{"a":5}`, wantErr: "jsonPath does not fit"}},
		"an answer nests as deep":        {"{..a}", answer{body: strings.Repeat("[", 63) + `{"a":5}` + strings.Repeat("]", 63), want: 5}},
		"an answer nests too deep": {
			"{..a}",
			answer{body: strings.Repeat("[", 64) + `{"a":5}` + strings.Repeat("]", 64), wantErr: "more than 64 deep"},
		},
		"brackets in a text are none": {"{.a}", answer{body: `{"b":"\\\"` + strings.Repeat("[", 99) + `","a":5}`, want: 5}},
		"a page is refused":           {"{.a}", answer{body: `<html>`, wantErr: "not JSON"}},
	}
	for name, tc := range cases {
		decodes(t, func(body []byte) (float64, error) { return decodeWeb(body, tc.path) }, map[string]answer{name: tc.answer})
	}
}
