// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/registry"
	"github.com/sluice-cd/sluice/internal/registry/registrytest"
)

// A link that is not understood must never look like the end of the list: the
// newest tags would be missing, and an older one be chosen.
func TestTheNextPage(t *testing.T) {
	const here = "https://registry.example.com/v2/team/app/tags/list?n=1000"
	const next = "https://registry.example.com/v2/team/app/tags/list?n=9&last=b"
	const end, broken = "", "broken"
	tests := map[string]struct {
		links []string
		want  string
	}{
		"nothing":                     {nil, end},
		"an empty header":             {[]string{""}, end},
		"as the specification has it": {[]string{`</v2/team/app/tags/list?n=9&last=b>; rel="next"`}, next},
		"without quotes":              {[]string{`</v2/team/app/tags/list?n=9&last=b>;rel=next`}, next},
		"in capitals":                 {[]string{`</v2/team/app/tags/list?n=9&last=b>; REL="Next"`}, next},
		// Its quotes were taken for part of the word, and the page for the last one.
		"in single quotes":                    {[]string{`</v2/team/app/tags/list?n=9&last=b>; rel='next'`}, next},
		"in single quotes, of several":        {[]string{`</v2/team/app/tags/list?n=9&last=b>; rel='next last'`}, broken},
		"relative to the list":                {[]string{`<list?n=9&last=b>; rel="next"`}, next},
		"an empty relation":                   {[]string{`</v2/team/app/tags/list?n=9&last=b>; rel=""`}, next},
		"with spaces":                         {[]string{`  < /v2/team/app/tags/list?n=9&last=b > ; rel = "next" ; title="x"`}, next},
		"one of several relations":            {[]string{`</v2/team/app/tags/list?n=9&last=b>; rel="last next"`}, next},
		"a relation that only sounds like it": {[]string{`</v2/team/app/tags/list?n=9&last=b>; rel="nextish"`}, end},
		"after another parameter":             {[]string{`</v2/team/app/tags/list?n=9&last=b>; title="a, \"b\"; rel=prev"; rel="next"`}, next},
		"only the first rel counts":           {[]string{`</v2/team/app/tags/list?n=9&last=b>; rel="first"; rel="next"`}, end},
		"without a relation":                  {[]string{`</v2/team/app/tags/list?n=9&last=b>`}, next},
		"after another link": {
			[]string{`</v2/team/app/tags/list?n=9>; rel="first", </v2/team/app/tags/list?n=9&last=b>; rel="next"`},
			next,
		},
		"in the second header": {
			[]string{`</v2/team/app/tags/list?n=9>; rel="first"`, `</v2/team/app/tags/list?n=9&last=b>; rel="next"`},
			next,
		},
		"a link to something else":            {[]string{`</assets/app.css>; rel=preload; as=style`}, end},
		"a link to something else, unrelated": {[]string{`</assets/app.css>`}, end},
		"an empty element of the list":        {[]string{`, </v2/team/app/tags/list?n=9&last=b>; rel="next",`}, next},
		"an absolute URL":                     {[]string{`<https://registry.example.com/v2/team/app/tags/list?n=9&last=b>; rel="next"`}, next},
		"of a registry behind TLS":            {[]string{`<http://registry.example.com/v2/team/app/tags/list?n=9&last=b>; rel="next"`}, next},
		"with the implied port": {
			[]string{`<https://registry.example.com:443/v2/team/app/tags/list?n=9&last=b>; rel="next"`},
			next,
		},
		"with the host in capitals":           {[]string{`<https://Registry.Example.COM/v2/team/app/tags/list?n=9&last=b>; rel="next"`}, next},
		"with a dot after the host":           {[]string{`<https://registry.example.com./v2/team/app/tags/list?n=9&last=b>; rel="next"`}, next},
		"without a scheme":                    {[]string{`<//registry.example.com/v2/team/app/tags/list?n=9&last=b>; rel="next"`}, next},
		"with a host and nothing before it":   {[]string{`<registry.example.com/v2/team/app/tags/list?n=9&last=b>; rel="next"`}, next},
		"only a query":                        {[]string{`<?n=9&last=b>; rel="next"`}, next},
		"a path without the repository's key": {[]string{`</v2/app/tags/list?n=9&last=b>; rel="next"`}, next},
		"a path of another port": {
			[]string{`<https://registry.example.com/repository/docker/v2/team/app/tags/list?n=9&last=b>; rel="next"`},
			next,
		},
		"a cursor of the registry's own": {
			[]string{`</v2/team/app/tags/list?next_page=g%3D%3D>; rel="next"`},
			"https://registry.example.com/v2/team/app/tags/list?next_page=g%3D%3D",
		},
		"a host with its port and nothing before it": {
			[]string{`<registry.example.com:443/v2/team/app/tags/list?n=9&last=b>; rel="next"`},
			next,
		},
		"a cursor with what other queries end at": {
			[]string{`</v2/team/app/tags/list?last=a;b c>; rel="next"`},
			"https://registry.example.com/v2/team/app/tags/list?last=a;b%20c",
		},
		"the host that a redirect led to":    {[]string{`<https://mirror.example.com/v2/x/tags/list?n=9&last=b>; rel="next"`}, next},
		"another host":                       {[]string{`<https://169.254.169.254/v2/team/app/tags/list?n=9&last=b>; rel="next"`}, broken},
		"another host that begins like it":   {[]string{`<https://registry.example.com.evil.test/?n=9&last=b>; rel="next"`}, broken},
		"another host and nothing before it": {[]string{`<evil.test/v2/team/app/tags/list?n=9&last=b>; rel="next"`}, next},
		"another port": {
			[]string{`<https://registry.example.com:8443/v2/team/app/tags/list?n=9&last=b>; rel="next"`},
			broken,
		},
		"a port that is none": {
			[]string{`<https://registry.example.com:$port/v2/team/app/tags/list?n=9&last=b>; rel="next"`},
			broken,
		},
		"a path that cannot be read":          {[]string{`</v2/team%/app/tags/list?n=9&last=b>; rel="next"`}, broken},
		"a query that cannot be read":         {[]string{`</v2/team/app/tags/list?last=%>; rel="next"`}, broken},
		"no target":                           {[]string{`<>; rel="next"`}, broken},
		"a target that says nothing new":      {[]string{`</v2/team/app/tags/list>; rel="next"`}, broken},
		"a target that does not end":          {[]string{`</v2/team/app/tags/list?n=9&last=b; rel="next"`}, broken},
		"a quote that does not end":           {[]string{`</v2/team/app/tags/list?n=9&last=b>; rel="next`}, broken},
		"no brackets":                         {[]string{`/v2/team/app/tags/list?n=9&last=b; rel="next"`}, broken},
		"a second header that cannot be read": {[]string{`</assets/app.css>; rel=preload`, `next`}, broken},
		"another scheme":                      {[]string{`<file:///v2/team/app/tags/list?n=9&last=b>; rel="next"`}, broken},
		"a cursor longer than any": {
			[]string{`</v2/team/app/tags/list?last=` + strings.Repeat("x", maxCursor) + `>; rel="next"`},
			broken,
		},
		"a parameter without a value":          {[]string{`</v2/team/app/tags/list?n=9&last=b>; crossorigin; rel="next"`}, next},
		"a name that is not about this at all": {[]string{`</v2/team/app/tags/list?n=9&last=b>; rev="next"; rel="self"`}, end},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			answered, _ := url.Parse("https://mirror.example.com/v2/x/tags/list?n=1000")
			got, err := nextPage(&http.Response{Header: http.Header{"Link": tc.links}, Request: &http.Request{URL: answered}}, here)
			if tc.want == broken {
				if !errors.Is(err, errPage) {
					t.Errorf("got %q, %v", got, err)
				}
				return
			}
			if err != nil || got != tc.want {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// A registry sends its lists to another one behind it, whose links lead there.
func TestARedirectedListIsFollowedToItsEnd(t *testing.T) {
	behind := registrytest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("last") == "" {
			w.Header().Set("Link", `</v2/images/team/app/tags/list?n=2&last=b>; rel="next"`)
			_, _ = io.WriteString(w, `{"name":"x","tags":["a","b"]}`)
			return
		}
		_, _ = io.WriteString(w, `{"name":"x","tags":["c"]}`)
	}))
	front := registrytest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v2/team/app/") {
			http.Redirect(w, r, fmt.Sprintf("http://%s/v2/images/team/app/tags/list?%s", behind, r.URL.RawQuery), http.StatusTemporaryRedirect)
			return
		}
		if r.URL.Path != "/v2/" {
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	got, err := newClient(t).Tags(context.Background(), target(t, imagev1.ImageRepositorySpec{Image: front + "/" + image}), registry.Access{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, slices.Collect(got.All())); diff != "" {
		t.Error(diff)
	}
}

func FuzzLink(f *testing.F) {
	f.Add(`</v2/app/tags/list?last=x&n=9>; rel="next"`)
	f.Add(`<a>; rel=first, <b>; title="\"`)
	f.Fuzz(func(t *testing.T, header string) {
		at, _ := url.Parse("https://registry.example.com/v2/app/tags/list?n=1000")
		next, err := nextPage(&http.Response{Header: http.Header{"Link": {header}}}, at.String())
		if err != nil || next == "" {
			return
		}
		to, err := url.Parse(next)
		if err != nil || to.Host != at.Host || to.Path != at.Path || to.Scheme != at.Scheme {
			t.Errorf("%q leads to %q, %v", header, next, err)
		}
	})
}
