// SPDX-License-Identifier: Apache-2.0

package cel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// ask evaluates a condition about a body.
func ask(ctx context.Context, t *testing.T, text, body string) (bool, error) {
	t.Helper()
	program, err := CompileCondition(text, "res", "req")
	if err != nil {
		return false, err
	}
	program.meter.most = MaxSteps / 10 // what goes beyond that, goes beyond the rest as well
	var req map[string]any
	if err := json.Unmarshal([]byte(body), &req); err != nil {
		t.Fatal(err)
	}
	return isTrue(ctx, program, map[string]any{"req": req, "res": map[string]any{}})
}

// isTrue evaluates a condition, which is true or false whatever it is about.
func isTrue(ctx context.Context, program *Program, data map[string]any) (bool, error) {
	value, err := program.Evaluate(ctx, data)
	if err != nil {
		return false, err
	}
	result, ok := value.(bool)
	if !ok {
		return false, fmt.Errorf("the condition is %v", value)
	}
	return result, nil
}

// holds is ask for a condition that is parsed only.
func holds(t *testing.T, text, body string) (bool, error) {
	t.Helper()
	program, err := ParseCondition(text)
	if err != nil {
		return false, err
	}
	var req map[string]any
	if err := json.Unmarshal([]byte(body), &req); err != nil {
		t.Fatal(err)
	}
	return program.Holds(map[string]any{"req": req})
}

const push = `{"draft":true,"tag":"v1.2.3","n":3,"commits":[{"id":"a","modified":["apps/x.yaml","README.md"]},{"id":"b","modified":[]}],
	"labels":{"app":"web","team":"a"},"empty":"","encoded":"aGVsbG8="}`

func TestExpressionsMeanWhatTheyMeanElsewhere(t *testing.T) {
	for text, want := range map[string]bool{
		`true`: true, `req.draft`: true, `req.draft == false`: false, "req.draft // a comment": true,
		`req.tag.startsWith("v1") && req.n > 2`:                                 true,
		`req.tag.replace("v", "") == "1.2.3"`:                                   true,
		`req.tag.split(".").size() == 3`:                                        true,
		`["a", "b"].join("-") == "a-b"`:                                         true,
		`["a", "b"].join() == "ab"`:                                             true,
		`"%s:%d".format([req.tag, 3]) == "v1.2.3:3"`:                            true,
		`req.tag.matches("^v[0-9]+\\.[0-9]+\\.[0-9]+$")`:                        true,
		`req.tag.indexOf("1") == 1 && req.tag.lastIndexOf(".") == 4`:            true,
		`req.commits.exists(c, c.modified.exists(f, f.startsWith("apps/")))`:    true,
		`req.commits.all(c, c.id in ["a", "b"])`:                                true,
		`req.commits.map(c, c.id) == ["a", "b"]`:                                true,
		`req.commits.filter(c, c.modified.size() > 0).size() == 1`:              true,
		`"app" in req.labels`:                                                   true,
		`req.labels == {"app": "web", "team": "a"}`:                             true,
		`req.labels != {"app": "web"}`:                                          true,
		`has(req.labels.app) && !has(req.missing)`:                              true,
		`req.?missing.orValue("x") == "x"`:                                      true,
		`req.?labels.?app.orValue("x") == "web"`:                                true,
		`optional.of(1).orValue(1/0) == 1`:                                      true,
		`sets.contains(["a", "b"], req.commits.map(c, c.id))`:                   true,
		`sets.intersects([1, 2], [2, 3]) && sets.equivalent([1, 2], [2, 1])`:    true,
		`string(base64.decode(req.encoded)) == "hello"`:                         true,
		`req.labels[req.draft ? "app" : "team"] == "web"`:                       true,
		`req.commits[req.n - 3.0 == 0.0 ? 0 : 1].id == "a"`:                     true,
		`req.empty == ""`:                                                       true,
		`req.tag.upperAscii().lowerAscii().trim().substring(1, 2) == "1"`:       true,
		`timestamp("2026-01-01T00:00:00Z") < timestamp("2026-01-02T00:00:00Z")`: true,
		`req.missing == 1 || true`:                                              true,
		`1 in [1, 2] && size(req.tag) == 6 && req.tag.contains("2")`:            true,
		`[1, 2] + [3] == [1, 2, 3]`:                                             true,
		`json.encode(req.labels).contains("web")`:                               true,
	} {
		t.Run(text, func(t *testing.T) {
			for range 2 { // a program keeps nothing between evaluations
				if got, err := ask(t.Context(), t, text, push); err != nil || got != want {
					t.Errorf("got %v, %v", got, err)
				}
				if got, err := holds(t, text, push); err != nil || got != want {
					t.Errorf("parsed only, got %v, %v", got, err)
				}
			}
		})
	}
}

// What makes ten of one value.
var (
	wideList     = "[" + strings.Repeat("v, ", 9) + "v]"
	wideSum      = strings.Repeat("v + ", 9) + "v"
	wideOptional = "optional.of(" + wideList + ")"
	wideMap      = `{"a": ` + wideList + `}`
)

// tenfold is an expression for a value that holds the same list 10,000 times over.
func tenfold(with string) string {
	text := "[req.l]"
	for i := range 4 {
		v := fmt.Sprintf("v%d", i)
		text += ".map(" + v + ", " + strings.ReplaceAll(with, "v", v) + ")"
	}
	return text
}

func TestAnExpressionCannotHoldUpOrKillTheProcess(t *testing.T) {
	long := `{"s":"` + strings.Repeat("a", 1<<20) + `"}`
	items := `{"l":[` + strings.TrimSuffix(strings.Repeat("1,", 500), ",") + `]}`
	many := `{"l":[` + strings.TrimSuffix(strings.Repeat(`"abc",`, 100_000), ",") + `],"s":"` + strings.Repeat("abcdefgh", 10_000) + `"}`
	for name, tc := range map[string]struct{ text, body string }{
		"a text put in for each of its own letters":     {`req.s.replace("a", req.s) == "b"`, long},
		"a text put in between all letters":             {`req.s.replace("", req.s) == "b"`, long},
		"a text put in so many times":                   {`req.s.replace("a", req.s, 100000) == "b"`, long},
		"a text of a text of a text":                    {`[req.s].map(a, a+a).map(b, b+b).map(c, c+c)[0] == ""`, long},
		"nested comprehensions":                         {`req.l.all(a, req.l.all(b, req.l.all(c, req.l.all(d, true))))`, items},
		"nested comprehensions that make lists":         {`req.l.map(a, req.l.map(b, req.l.map(c, req.l))).size() == 1`, items},
		"lists joined with a long separator":            {`req.l.join(req.s) == ""`, many},
		"one text joined many times":                    {`req.l.map(x, req.s).join() == ""`, many},
		"a format of long texts":                        {`"%s%s%s%s".format([req.s, req.s, req.s, req.s]) == ""`, long},
		"a format of lists":                             {`"%s".format(` + tenfold(wideList) + `) == ""`, items},
		"lists within lists compared":                   {tenfold(wideList) + " == " + tenfold(wideList), items},
		"lists within lists compared by another sign":   {tenfold(wideList) + " != " + tenfold(wideList), items},
		"lists within lists looked for":                 {tenfold(wideList) + " in [" + tenfold(wideList) + "]", items},
		"lists within maps compared":                    {tenfold(wideMap) + " == " + tenfold(wideMap), items},
		"lists within optionals compared":               {tenfold(wideOptional) + " == " + tenfold(wideOptional), items},
		"lists that grow by themselves":                 {tenfold(wideSum) + "[0].all(x, x == 1)", items},
		"lists that grow by themselves, looked through": {"2 in " + tenfold(wideSum) + "[0]", items},
		"lists that grow by themselves, compared":       {tenfold(wideSum) + " == " + tenfold(wideSum), items},
		"sets of many":                                  {`sets.contains(req.l, req.l)`, many},
		"sets that are the same":                        {`sets.equivalent(req.l, req.l)`, many},
		"lists within lists as JSON":                    {`json.encode(` + tenfold(wideList) + `) == ""`, items},
		"a search that finds nothing":                   {`req.s.indexOf(req.s + "b") == 1`, long},
		"a search for half of a text": {
			`req.s.indexOf(req.s.substring(1000) + "b") == 1`,
			strings.Replace(long, "aaaa", "", 1),
		},
		"a search from the end":                       {`req.s.lastIndexOf("b" + req.s.substring(1000)) == 1`, long},
		"a text in pieces":                            {`req.s.split("").size() == 1`, long},
		"a text in some pieces":                       {`req.s.split("", 1000000).size() == 1`, long},
		"a regular expression of several repetitions": {`req.s.matches("` + strings.Repeat("a{0,900}", 9) + `b")`, long},
		"a regular expression as long as the body":    {`"x".matches(req.s)`, long},
		"a text turned round again and again":         {`req.s` + strings.Repeat(".reverse()", 40) + ` == ""`, long},
		"a text quoted again and again": {
			strings.Repeat("strings.quote(", 40) + "req.s" + strings.Repeat(")", 40) + ` == ""`,
			long,
		},
		"a text encoded again and again": {
			strings.Repeat("base64.encode(bytes(", 20) + "req.s" + strings.Repeat("))", 20) + ` == ""`,
			long,
		},
		"letters of a long text": {
			`req.l.all(x, req.s.charAt(1) == "b" || true)`,
			strings.Replace(long, "{", `{"l":[1,1,1,1,1,1,1],`, 1),
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ask(t.Context(), t, tc.text, tc.body)
			if !errors.Is(err, ErrTooExpensive) {
				t.Errorf("got %.300v", err)
			}
			if _, err := holds(t, tc.text, tc.body); !errors.Is(err, ErrTooExpensive) {
				t.Errorf("parsed only, got %.300v", err)
			}
		})
	}
}

func TestAnExpressionThatWasEndedCanBeEvaluatedAgain(t *testing.T) {
	program, err := CompileCondition(`req.l.all(a, req.l.all(b, req.l.all(c, a == b && b == c)))`, "req")
	if err != nil {
		t.Fatal(err)
	}
	some := make([]any, 400)
	if _, err := isTrue(t.Context(), program, map[string]any{"req": map[string]any{"l": some}}); !errors.Is(err, ErrTooExpensive) {
		t.Errorf("got %v", err)
	}
	if ok, err := isTrue(t.Context(), program, map[string]any{"req": map[string]any{"l": some[:3]}}); !ok || err != nil {
		t.Errorf("got %v, %v", ok, err)
	}
}

func TestAnEvaluationEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	list := strings.TrimSuffix(strings.Repeat("1,", 500), ",")
	if _, err := ask(ctx, t, `req.l.all(a, req.l.all(b, true))`, `{"l":[`+list+`]}`); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestWhatDoesNotCompile(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"nothing":             {"", "Syntax error"},
		"an unknown variable": {"foo == 1", "undeclared reference"},
		"a text":              {"'a'", "is not true or false"},
		"a message": {
			"google.protobuf.ListValue{values: [req.a]} == req.b",
			"makes a message of type google.protobuf.ListValue",
		},
		"a message in the midst":     {"req.l.exists(x, google.protobuf.Value{string_value: x} == x)", "makes a message"},
		"one that is too long":       {"req.a == '" + strings.Repeat("a", MaxLength) + "'", "4096 are allowed"},
		"one that is nested deeply":  {strings.Repeat("(", 500) + "true" + strings.Repeat(")", 500), "recursion"},
		"one of nested lists":        {"req.a == " + strings.Repeat("[", 60) + "1" + strings.Repeat("]", 60), "recursion"},
		"one of many calls":          {"req.a" + strings.Repeat(".trim()", 120) + " == ''", "recursion"},
		"one of many comprehensions": {"req.l" + strings.Repeat(".map(x, [x, x])", 11) + " == req.l", "11 comprehensions"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := CompileCondition(tc.text, "req"); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestWhatDoesNotParse(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"nothing":   {"", "Syntax error"},
		"a message": {"google.protobuf.ListValue{values: [req.a]} == req.b", "makes a message of type google.protobuf.ListValue"},
		"too long":  {"req.a == '" + strings.Repeat("a", MaxLength) + "'", "4096 are allowed"},
		"nested":    {strings.Repeat("(", 500) + "true" + strings.Repeat(")", 500), "recursion"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := ParseCondition(tc.text); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAParsedConditionHasToBeTrueOrFalse(t *testing.T) {
	for text, want := range map[string]string{
		`req.tag`: "is not true or false", `status.phase == "Ready"`: "no such attribute", `req.missing`: "no such key",
	} {
		if _, err := holds(t, text, push); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", text, err)
		}
	}
}

func TestWhatWasSentIsNotRepeatedInFull(t *testing.T) {
	_, err := ask(t.Context(), t, `timestamp(req.s) == req.t`, `{"s":"`+strings.Repeat("x", 100_000)+`"}`)
	if err == nil || len(err.Error()) > 500 {
		t.Errorf("got %.100v", err)
	}
}

func TestATextIsAskedFor(t *testing.T) {
	for text, want := range map[string]bool{
		"'a'": true, "event.name": true, "event.name + '/x'": true, "event.tags.join('-')": true, "string(1)": true,
		"event.?name.orValue('none')": true, "1": false, "event.name == 'a'": false, "['a']": false, "{'a': 'b'}": false,
	} {
		if _, err := CompileText(text, "event"); (err == nil) != want {
			t.Errorf("%s: %v", text, err)
		}
	}
}
