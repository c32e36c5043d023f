// SPDX-License-Identifier: Apache-2.0

package git_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
)

// misbehave wraps answers of a server to requests for a path.
func misbehave(path string, answer func(w http.ResponseWriter, r *http.Request, next http.Handler)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, path) {
				answer(w, r, next)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// part lets the first bytes of an answer through, and then does something else.
type part struct {
	http.ResponseWriter
	left int
	then func()
}

func (p *part) Write(data []byte) (int, error) {
	if len(data) <= p.left {
		p.left -= len(data)
		return p.ResponseWriter.Write(data)
	}
	_, _ = p.ResponseWriter.Write(data[:p.left])
	p.ResponseWriter.(http.Flusher).Flush()
	p.then()
	return 0, io.ErrClosedPipe
}

func TestServersThatMisbehave(t *testing.T) {
	id := strings.Repeat("a", 40)
	endless := func(line string) func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
			_, _ = io.WriteString(w, "001e# service=git-upload-pack\n0000")
			packet := func(text string) string { return fmt.Sprintf("%04x%s", len(text)+4, text) }
			text, rest := packet(id+" HEAD\x00shallow\n"), packet(line)
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, text); err != nil {
					return
				}
				text = rest
			}
		}
	}
	tests := map[string]struct {
		path   string
		answer func(w http.ResponseWriter, r *http.Request, next http.Handler)
		within time.Duration // a minute unless told
		want   error
	}{
		"it stops in the middle of a pack and keeps the line": {
			path: "/git-upload-pack", within: 2 * time.Second, want: git.ErrUnreachable,
			answer: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				next.ServeHTTP(&part{ResponseWriter: w, left: 300, then: func() { <-r.Context().Done() }}, r)
			},
		},
		"it hangs up in the middle of a pack": {
			path: "/git-upload-pack", want: git.ErrUnreachable,
			answer: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				next.ServeHTTP(&part{ResponseWriter: w, left: 300, then: func() { panic(http.ErrAbortHandler) }}, r)
			},
		},
		"it sends garbage for a pack": {
			path: "/git-upload-pack",
			answer: func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
				w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
				_, _ = io.WriteString(w, strings.Repeat("garbage", 1000))
			},
		},
		"it sends garbage for refs": {
			path: "/info/refs",
			answer: func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
				w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
				_, _ = io.WriteString(w, strings.Repeat("garbage", 1000))
			},
		},
		"it shows a login page": {
			path: "/info/refs",
			answer: func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
				_, _ = io.WriteString(w, "<html>"+strings.Repeat("Please log in. ", 1000))
			},
		},
		"it never stops to name refs": {
			path: "/info/refs", want: git.ErrTooMuch, answer: endless(id + " refs/heads/" + strings.Repeat("b", 60_000) + "\n"),
		},
		"it never stops to explain an error": {
			path: "/info/refs", want: git.ErrUnreachable,
			answer: func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
				w.WriteHeader(http.StatusInternalServerError)
				for r.Context().Err() == nil {
					if _, err := w.Write(make([]byte, 64<<10)); err != nil {
						return
					}
				}
			},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			server := gitserver.New(t)
			repo := server.Repo("app")
			noise := strings.Builder{}
			for i := range 2000 {
				fmt.Fprintf(&noise, "%d: %x\n", i, i*i*7919)
			}
			repo.Commit("main", files{"f": noise.String()})
			head := plumbing.NewHash(repo.Head("main"))
			m := open(t, t.TempDir(), git.Remote{URL: repo.URL})
			undo := server.Intercept(misbehave(tc.path, tc.answer))
			ctx, cancel := context.WithTimeout(t.Context(), cmp.Or(tc.within, time.Minute))
			defer cancel()
			_, err := m.Resolve(ctx, "main")
			if err == nil {
				err = m.Fetch(ctx, "main", head)
			}
			if err == nil || tc.want != nil && !errors.Is(err, tc.want) || len(err.Error()) > 600 {
				t.Fatalf("error %v, want %v", err, tc.want)
			}
			if m.Has(head) {
				t.Error("took it for a commit")
			}
			undo()
			if err := m.Fetch(t.Context(), "main", head); err != nil {
				t.Errorf("after it came to its senses: %v", err)
			}
		})
	}
}

func TestCredentialsDoNotFollowARedirectToAnotherServer(t *testing.T) {
	here, there := gitserver.New(t), gitserver.New(t)
	repo := there.Repo("app")
	head := plumbing.NewHash(repo.Commit("main", files{"f": "1\n"}))
	here.Intercept(func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, there.URL+r.URL.RequestURI(), http.StatusFound)
		})
	})
	there.Intercept(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "" {
				t.Errorf("%s %s has the credentials of another server", r.Method, r.URL.Path)
			}
			next.ServeHTTP(w, r)
		})
	})
	m := open(t, t.TempDir(), git.Remote{URL: here.URL + "/app.git", Auth: git.Auth{Username: "user", Password: "s3cr3t"}})
	for range 2 {
		if _, err := m.Resolve(t.Context(), "main"); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Fetch(t.Context(), "main", head); err != nil {
		t.Error(err)
	}
}
