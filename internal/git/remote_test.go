// SPDX-License-Identifier: Apache-2.0

package git_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/outbound"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
)

// strict refuses clients that do not follow acknowledgements, as Azure DevOps and
// CodeCommit do, and notes what it was asked.
func strict(asked *[]string) func(http.Handler) http.Handler {
	return misbehave("/git-upload-pack", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		body, _ := io.ReadAll(r.Body)
		*asked = append(*asked, string(body))
		if first, _, _ := strings.Cut(string(body), "\n"); !strings.Contains(first, "multi_ack") {
			http.Error(w, "the client must support multi_ack", http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
}

func TestServersThatRequireAcknowledgements(t *testing.T) {
	for name, older := range map[string]bool{"multi_ack_detailed": false, "only multi_ack": true} {
		t.Run(name, func(t *testing.T) {
			server := gitserver.New(t)
			var asked []string
			server.Intercept(strict(&asked))
			if older {
				server.Intercept(misbehave("/info/refs", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
					answer := httptest.NewRecorder()
					next.ServeHTTP(answer, r)
					w.Header().Set("Content-Type", answer.Header().Get("Content-Type"))
					// As long as before, or the lines' lengths would be wrong.
					_, _ = io.WriteString(w, strings.Replace(answer.Body.String(), "multi_ack_detailed", "something_detailed", 1))
				}))
			}
			repo := server.Repo("app")
			m := open(t, t.TempDir(), git.Remote{URL: repo.URL})
			for i := range 4 { // the later ones have commits in common with the server
				repo.Commit("main", files{"f": fmt.Sprint(i), "same": strings.Repeat("x\n", 1000)})
				if got := contents(t, pull(t, m, "main")); got["100644 f"] != fmt.Sprint(i) {
					t.Errorf("f is %q, want %d", got["100644 f"], i)
				}
			}
			base := pull(t, m, "main").Commit()
			made, err := m.Write(t.Context(), base, map[string][]byte{"f": []byte("made")}, info("x"))
			if err != nil {
				t.Fatal(err)
			}
			if err := m.Push(t.Context(), nil, git.RefUpdate{Ref: "main", Old: base, New: made}); err != nil {
				t.Fatal(err)
			}
			if last := asked[len(asked)-1]; !strings.Contains(last, "have ") {
				t.Errorf("the last fetch named nothing that is here: %q", last)
			}
		})
	}
}

func TestARepositoryOfOtherIDsIsNamedAsSuch(t *testing.T) {
	server := gitserver.New(t)
	repo := server.Repo("app")
	script := `rm -rf "$0" && git init -q --bare --object-format=sha256 -b main "$0" && cd "$0" &&
		git update-ref refs/heads/main $(git -c user.name=t -c user.email=t@example.com commit-tree -m x $(git mktree </dev/null))`
	if out, err := exec.Command("sh", "-c", script, repo.Dir).CombinedOutput(); err != nil {
		t.Skipf("git has no SHA-256 here: %v: %s", err, out)
	}
	_, err := open(t, t.TempDir(), git.Remote{URL: repo.URL}).Resolve(t.Context(), "main")
	if !errors.Is(err, git.ErrObjectFormat) || !strings.Contains(err.Error(), "sha256 repositories cannot be read") {
		t.Errorf("got %v", err)
	}
}

func TestARedirectIsRememberedIfTheServerItselfSaysForGood(t *testing.T) {
	for name, tc := range map[string]struct {
		status int
		other  bool // another server
		want   string
	}{
		"to another path, for good":         {http.StatusMovedPermanently, false, "there"},
		"to another path, for now":          {http.StatusFound, false, "here"},
		"to another server, for now":        {http.StatusFound, true, "here"},
		"to another server, for good":       {http.StatusMovedPermanently, true, "here"},
		"to another path, permanently, 308": {http.StatusPermanentRedirect, false, "there"},
	} {
		t.Run(name, func(t *testing.T) {
			here := gitserver.New(t)
			there := here
			if tc.other {
				there = gitserver.New(t)
			}
			right, moved := here.Repo("app"), there.Repo("moved")
			head := plumbing.NewHash(right.Commit("main", files{"f": "here"}))
			moved.Commit("main", files{"f": "there"})
			redirects := func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if strings.HasPrefix(r.URL.Path, "/app") {
						http.Redirect(w, r, there.URL+strings.Replace(r.URL.RequestURI(), "/app", "/moved", 1), tc.status)
						return
					}
					next.ServeHTTP(w, r)
				})
			}
			undo := here.Intercept(redirects)
			clk := clocktesting.NewFakePassiveClock(time.Now())
			remote := git.Remote{URL: right.URL, Auth: git.Auth{Username: "user", Password: "s3cr3t"}}
			m, err := git.NewMirrors(t.TempDir(), clk).Get(t.Context(), remote)
			if err != nil {
				t.Fatal(err)
			}
			if got := contents(t, pull(t, m, "main")); got["100644 f"] != "there" {
				t.Fatalf("while it redirects: %v", got)
			}
			undo()
			for range 2 {
				if got := contents(t, pull(t, m, "main")); got["100644 f"] != tc.want {
					t.Errorf("afterwards: %v, want %s", got, tc.want)
				}
			}
			clk.SetTime(clk.Now().Add(time.Hour))
			if err := m.Fetch(t.Context(), head.String(), head); err != nil {
				t.Errorf("an hour later: %v", err)
			}
			if got := contents(t, pull(t, m, "main")); got["100644 f"] != "here" {
				t.Errorf("an hour later: %v", got)
			}
			undo = here.Intercept(redirects)
			pull(t, m, "main")
			undo()
			there.Intercept(misbehave("/moved.git/info/refs", func(w http.ResponseWriter, r *http.Request, _ http.Handler) { http.NotFound(w, r) }))
			if got := contents(t, pull(t, m, "main")); got["100644 f"] != "here" {
				t.Errorf("after the other place is gone: %v", got)
			}
		})
	}
}

func TestRedirectsThatAreNotFollowed(t *testing.T) {
	asked := ""
	inside := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked += r.Method + " " + r.URL.Path }))
	defer inside.Close()
	for name, tc := range map[string]struct {
		path string
		to   string
	}{
		"of a request for a pack":  {"/git-upload-pack", inside.URL + "/x"},
		"to another scheme":        {"/info/refs", "ftp://127.0.0.1/x"},
		"to a file":                {"/info/refs", "file:///etc/passwd"},
		"to nothing":               {"/info/refs", "//"},
		"to what is no repository": {"/info/refs", "/elsewhere"},
	} {
		t.Run(name, func(t *testing.T) {
			server := gitserver.New(t)
			repo := server.Repo("app")
			head := plumbing.NewHash(repo.Commit("main", files{"f": "1"}))
			server.Intercept(misbehave(tc.path, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
				w.Header().Set("Location", tc.to)
				w.WriteHeader(http.StatusTemporaryRedirect)
			}))
			m := open(t, t.TempDir(), git.Remote{URL: repo.URL})
			if err := m.Fetch(t.Context(), "main", head); err == nil || asked != "" {
				t.Errorf("got %v; the other server was asked for %q", err, asked)
			}
		})
	}
}

// TestAServerThatIsNoGitServerIsNotQuoted takes the URL for a way to read what only the
// controller reaches.
func TestAServerThatIsNoGitServerIsNotQuoted(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"a page": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "s3cr3t") },
		"a page that begins like Git": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
			_, _ = io.WriteString(w, "000as3cr3t")
		},
		"an error": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(http.StatusTeapot)
			_, _ = io.WriteString(w, "s3cr3t")
		},
		"a refusal": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, "s3cr3t")
		},
		"another page": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/s3cr3t", http.StatusFound)
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(answer)
			defer server.Close()
			_, err := open(t, t.TempDir(), git.Remote{URL: server.URL + "/app.git"}).Resolve(t.Context(), "main")
			if err == nil || strings.Contains(err.Error(), "s3cr3t") && name != "another page" {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestWhatAGitServerSaysOfARefusalIsTold(t *testing.T) {
	server := gitserver.New(t)
	repo := server.Repo("app")
	head := plumbing.NewHash(repo.Commit("main", files{"f": "1"}))
	m := open(t, t.TempDir(), git.Remote{URL: repo.URL})
	if _, err := m.Resolve(t.Context(), "main"); err != nil {
		t.Fatal(err)
	}
	server.Intercept(misbehave("/git-upload-pack", func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		http.Error(w, "TF401028: the project is archived", http.StatusBadRequest)
	}))
	if err := m.Fetch(t.Context(), "main", head); err == nil ||
		!strings.Contains(err.Error(), "status 400 Bad Request: TF401028: the project is archived") {
		t.Errorf("got %v", err)
	}
}

func TestCompressedAnswersAreNeitherAskedForNorRead(t *testing.T) {
	server := gitserver.New(t)
	repo := server.Repo("app")
	head := plumbing.NewHash(repo.Commit("main", files{"f": "1"}))
	for _, path := range []string{"/info/refs", "/git-upload-pack"} {
		undo := server.Intercept(misbehave(path, func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			if accepted := r.Header.Get("Accept-Encoding"); strings.Contains(accepted, "gzip") {
				t.Errorf("%s accepts %s", path, accepted)
			}
			kind := map[string]string{"/info/refs": "advertisement", "/git-upload-pack": "result"}[path]
			w.Header().Set("Content-Type", "application/x-git-upload-pack-"+kind)
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			for range 1000 {
				if _, err := z.Write(bytes.Repeat([]byte("0035shallow "+strings.Repeat("a", 40)+"\n"), 1000)); err != nil {
					return
				}
			}
		}))
		m := open(t, t.TempDir(), git.Remote{URL: repo.URL})
		if err := m.Fetch(t.Context(), "main", head); err == nil || !strings.Contains(err.Error(), "compressed") {
			t.Errorf("%s: %v", path, err)
		}
		undo()
	}
}

func TestConnectionsGoThroughTheGuard(t *testing.T) {
	server, overSSH := gitserver.New(t), gitserver.NewSSH(t)
	proxies := map[string]*gitserver.Proxy{
		"http":   gitserver.NewProxy(t, "", ""),
		"https":  gitserver.NewTLSProxy(t, "", ""),
		"socks5": gitserver.NewSOCKS(t, "", ""),
	}
	ssh := git.Auth{Identity: overSSH.Identity, KnownHosts: overSSH.KnownHosts}
	byName := func(url string) string { return strings.Replace(url, "127.0.0.1", "localhost", 1) }
	tests := map[string]git.Remote{
		"an address":                         {URL: server.Repo("app").URL},
		"a name":                             {URL: byName(server.Repo("app2").URL)},
		"an address over SSH":                {URL: overSSH.Repo("app").URL, Auth: ssh},
		"a name over SSH":                    {URL: byName(overSSH.Repo("app2").URL), Auth: ssh},
		"the metadata service":               {URL: "http://169.254.169.254/latest"},
		"the metadata service through SOCKS": {URL: "ssh://git@169.254.169.254/latest", Auth: ssh},
	}
	for kind, proxy := range proxies {
		tests["a proxy, "+kind] = git.Remote{URL: "http://git.example.com/app", Auth: git.Auth{Proxy: byName(proxy.URL), CA: proxy.CA}}
		through := ssh
		through.Proxy, through.CA = byName(proxy.URL), proxy.CA
		tests["a proxy for SSH, "+kind] = git.Remote{URL: "ssh://git@git.example.com/app", Auth: through}
	}
	for name, remote := range tests {
		t.Run(name, func(t *testing.T) {
			mirrors := git.NewMirrors(t.TempDir(), clock.RealClock{})
			mirrors.Guard = outbound.NewGuard(nil)
			m, err := mirrors.Get(t.Context(), remote)
			if err == nil {
				_, err = m.Resolve(t.Context(), "main")
			}
			if !errors.Is(err, outbound.ErrForbiddenAddress) || !strings.Contains(err.Error(), "--allow-addresses") {
				t.Errorf("got %v", err)
			}
		})
	}
	mirrors := git.NewMirrors(t.TempDir(), clock.RealClock{})
	mirrors.Guard = outbound.NewGuard([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")})
	m, err := mirrors.Get(t.Context(), tests["a name"])
	if err == nil {
		_, err = m.Refs(t.Context())
	}
	if err != nil {
		t.Errorf("what is allowed: %v", err)
	}
}

func TestRefsTakeOfTheShareOfTheirNamespace(t *testing.T) {
	server := gitserver.New(t)
	repo := server.Repo("app")
	server.Intercept(misbehave("/info/refs", func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
		line := strings.Repeat("a", 40) + " refs/heads/" + strings.Repeat("b", 1000) + "\n"
		_, _ = io.WriteString(w, strings.Repeat(fmt.Sprintf("%04x%s", len(line)+4, line), 4000)+"0000")
	}))
	mirrors := git.NewMirrors(t.TempDir(), clock.RealClock{})
	mirrors.Memory = budget.New(4 << 20)
	m, err := mirrors.Get(t.Context(), git.Remote{URL: repo.URL, Namespace: "apps"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if _, err := m.Resolve(ctx, "main"); !errors.Is(err, budget.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
}
