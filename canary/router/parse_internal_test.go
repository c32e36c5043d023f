// SPDX-License-Identifier: Apache-2.0

package router

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// FuzzCookieRegex: whatever a cookie is called, the expression is valid and finds
// it among others, and no cookie with another value.
func FuzzCookieRegex(f *testing.F) {
	for _, seed := range []string{"flagger-cookie=LpsIaLdoNZ", "a.b+c*=x", "=", "", "(=[", "$=^"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, cookie string) {
		if !utf8.ValidString(cookie) || !strings.Contains(cookie, "=") {
			t.Skip() // no JSON has that, and no status
		}
		expression, err := regexp.Compile("^(?s:" + cookieRegex(cookie) + ")$")
		if err != nil {
			t.Fatal(err)
		}
		if !expression.MatchString("theme=dark; " + cookie + "; lang=en") {
			t.Errorf("%q is not found", cookie)
		}
		name, value, _ := strings.Cut(cookie, "=")
		if value != "" && !strings.Contains(value, "=") && expression.MatchString(name+"=") && !strings.Contains(name, value) {
			t.Errorf("%q is found without its value", cookie)
		}
	})
}

// FuzzGRPCMethod: a path that is taken for a call can be put together again.
func FuzzGRPCMethod(f *testing.F) {
	for _, seed := range []string{"/shop.v1.Cart/Add", "/shop.v1.Cart/", "/shop", "/", "", "//", "/a..b/c", "/a/b/c", "/1/x"} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, path string, exact bool) {
		uri := &flaggerv1.StringMatch{Prefix: path}
		if exact {
			uri = &flaggerv1.StringMatch{Exact: path}
		}
		method, err := grpcMethod(uri)
		if err != nil || method == nil {
			return
		}
		again := "/" + *method.Service
		if method.Method != nil {
			again += "/" + *method.Method
		}
		if again != strings.TrimSuffix(path, "/") {
			t.Errorf("%q became %q", path, again)
		}
	})
}

// FuzzKeptSpec: annotations are written by anybody.
func FuzzKeptSpec(f *testing.F) {
	for _, seed := range []string{
		`{"spec":{"hosts":["a"]}}`,
		`{"spec":null}`,
		`null`,
		`[]`,
		`{`,
		``,
		`{"spec":{"http":[{"route":[{"weight":1e400}]}]}}`,
	} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, applied, kept string) {
		if spec, ok := keptSpec(map[string]string{lastApplied: applied, original: kept}); ok && spec == nil {
			t.Error("a spec that is none")
		}
	})
}
