// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const manifestType = "application/vnd.oci.image.manifest.v1+json"

func serve(t *testing.T, dir string) *httptest.Server {
	t.Helper()
	r, err := New(dir, log.New(io.Discard, "", 0))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(r)
	t.Cleanup(s.Close)
	return s
}

// answer is what a test looks at.
type answer struct {
	status int
	header http.Header
	body   string
}

func do(t *testing.T, method, url, body string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", manifestType)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(data)}
}

func push(t *testing.T, s *httptest.Server, tag, body string) (digest string) {
	t.Helper()
	got := do(t, http.MethodPut, s.URL+"/v2/team/app/manifests/"+tag, body)
	if got.status != http.StatusCreated {
		t.Fatalf("pushing %s: %d %s", tag, got.status, got.body)
	}
	return got.header.Get("Docker-Content-Digest")
}

func TestARestartChangesNothing(t *testing.T) {
	dir := t.TempDir()
	first := serve(t, dir)
	push(t, first, "v1", `{"n":1}`)
	digest := push(t, first, "v2", `{"n":2}`)
	push(t, first, "gone", `{"n":3}`)
	push(t, first, "v1", `{"n":4}`) // moved
	do(t, http.MethodDelete, first.URL+"/v2/team/app/manifests/gone", "")
	first.Close()

	second := serve(t, dir)
	for path, want := range map[string]string{
		"tags/list":           `{"name":"team/app","tags":["v1","v2"]}` + "\n",
		"manifests/v1":        `{"n":4}`,
		"manifests/" + digest: `{"n":2}`,
	} {
		if got := do(t, http.MethodGet, second.URL+"/v2/team/app/"+path, ""); got.body != want {
			t.Errorf("%s: got %d %q, want %q", path, got.status, got.body, want)
		}
	}
	moved := do(t, http.MethodGet, second.URL+"/v2/team/app/manifests/v1", "")
	if got := moved.header.Get("Content-Type"); got != manifestType {
		t.Errorf("content type %q, want %q", got, manifestType)
	}
}

func TestAPushThatACrashCutIsDropped(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir)
	push(t, s, "v1", `{"n":1}`)
	s.Close()
	name := filepath.Join(dir, "manifests.jsonl")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, append(data, `{"method":"PUT","pa`...), 0o644); err != nil {
		t.Fatal(err)
	}
	again := serve(t, dir)
	push(t, again, "v2", `{"n":2}`)
	again.Close()
	got := do(t, http.MethodGet, serve(t, dir).URL+"/v2/team/app/tags/list", "").body
	if !strings.Contains(got, `["v1","v2"]`) {
		t.Errorf("tags after the crash: %s", got)
	}
}

func TestARefusedPushIsNotRemembered(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir)
	got := do(t, http.MethodPut, s.URL+"/v2/team/app/manifests/v1", strings.Repeat("x", largest+1))
	if got.status < 400 {
		t.Errorf("a manifest beyond the limit: %d", got.status)
	}
	if _, err := os.Stat(filepath.Join(dir, "manifests.jsonl")); err == nil {
		t.Error("it was written down")
	}
}

func TestAClientThatFollowsLinksSeesEveryTag(t *testing.T) {
	s := serve(t, t.TempDir())
	var want []string
	for i := range 25 {
		tag := fmt.Sprintf("v%02d", i)
		want = append(want, tag)
		push(t, s, tag, "{}")
	}
	var got []string
	next := "/v2/team/app/tags/list?n=10"
	for pages := 0; next != "" && pages < 10; pages++ {
		page := do(t, http.MethodGet, s.URL+next, "")
		var list struct{ Tags []string }
		if err := json.Unmarshal([]byte(page.body), &list); err != nil {
			t.Fatal(err)
		}
		got = append(got, list.Tags...)
		next, _, _ = strings.Cut(strings.TrimPrefix(page.header.Get("Link"), "<"), ">")
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestPage(t *testing.T) {
	tags := []string{"a", "b", "d"}
	for name, tc := range map[string]struct {
		query    string
		want     []string
		wantMore bool
		wantErr  bool
	}{
		"no size means all":                  {want: tags},
		"a size cuts":                        {query: "n=2", want: tags[:2], wantMore: true},
		"the exact size has no more":         {query: "n=3", want: tags},
		"after a tag":                        {query: "n=1&last=a", want: tags[1:2], wantMore: true},
		"after a tag that is gone":           {query: "last=c", want: tags[2:]},
		"after the last there is nothing":    {query: "n=2&last=d", want: tags[3:]},
		"a size that is none is an error":    {query: "n=x", wantErr: true},
		"a negative size is an error":        {query: "n=-1", wantErr: true},
		"a size of zero is no limit, but ok": {query: "n=0", want: tags},
	} {
		t.Run(name, func(t *testing.T) {
			query, err := url.ParseQuery(tc.query)
			if err != nil {
				t.Fatal(err)
			}
			p, err := newPage(query)
			if (err != nil) != tc.wantErr {
				t.Fatalf("error %v", err)
			}
			if tc.wantErr {
				return
			}
			got, more := p.of(tags)
			if !slices.Equal(got, tc.want) || more != tc.wantMore {
				t.Errorf("got %v, %v; want %v, %v", got, more, tc.want, tc.wantMore)
			}
		})
	}
}

func FuzzPage(f *testing.F) {
	f.Add("n=2&last=b")
	f.Fuzz(func(_ *testing.T, raw string) {
		if query, err := url.ParseQuery(raw); err == nil {
			if p, err := newPage(query); err == nil {
				p.of([]string{"a", "b"})
			}
		}
	})
}
