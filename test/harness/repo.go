// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Branch is the branch that every harness repository starts with.
const Branch = "main"

// Repo is a bare repository on the playground's Git server, and a clone beside
// it through which a person would work.
type Repo struct {
	URL   string // as a GitRepository names it
	Bare  string // the bare repository's folder
	clone string
}

// NewRepo makes an empty repository that the playground serves as name.git.
// The clone lives under work.
func (p *Playground) NewRepo(ctx context.Context, name, work string) (*Repo, error) {
	r := &Repo{
		URL:   p.GitURL + "/" + name + ".git",
		Bare:  filepath.Join(p.GitRoot, name+".git"),
		clone: filepath.Join(work, name),
	}
	for _, args := range [][]string{
		{"init", "-q", "--bare", "-b", Branch, r.Bare},
		{"clone", "-q", r.Bare, r.clone},
		{"-C", r.clone, "config", "user.name", "A Person"},
		{"-C", r.clone, "config", "user.email", "person@example.com"},
		{"-C", r.clone, "config", "gc.auto", "0"},
	} {
		if _, err := Git(ctx, args...); err != nil {
			return nil, err
		}
	}
	_, err := Git(ctx, "-C", r.clone, "checkout", "-q", "-B", Branch)
	return r, err
}

// Commit writes the files (path to content; nil deletes) on top of what the
// server has, pushes, and returns the commit.
func (r *Repo) Commit(ctx context.Context, message string, files map[string][]byte) (string, error) {
	if head, err := r.Head(ctx); err == nil && head != "" {
		if _, err := Git(ctx, "-C", r.clone, "pull", "-q", "--rebase", "origin", Branch); err != nil {
			return "", err
		}
	}
	for name, data := range files {
		path := filepath.Join(r.clone, name)
		if data == nil {
			if err := os.Remove(path); err != nil {
				return "", err
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return "", err
		}
	}
	for _, args := range [][]string{
		{"-C", r.clone, "add", "-A"},
		{"-C", r.clone, "commit", "-q", "-m", message},
	} {
		if _, err := Git(ctx, args...); err != nil {
			return "", err
		}
	}
	if err := r.push(ctx); err != nil {
		return "", err
	}
	return r.Head(ctx)
}

// pushAttempts is how many lost races a person puts up with.
const pushAttempts = 10

// push pushes the branch, on top of what others pushed meanwhile.
func (r *Repo) push(ctx context.Context) error {
	for attempt := 1; ; attempt++ {
		_, err := Git(ctx, "-C", r.clone, "push", "-q", "origin", Branch)
		if err == nil || attempt == pushAttempts {
			return err
		}
		if _, err := Git(ctx, "-C", r.clone, "pull", "-q", "--rebase", "origin", Branch); err != nil {
			return err
		}
	}
}

// Head is the commit that the server's branch points at; "" when there is none.
func (r *Repo) Head(ctx context.Context) (string, error) {
	out, err := Git(ctx, "-C", r.Bare, "for-each-ref", "--format=%(objectname)", "refs/heads/"+Branch)
	return out, err
}

// Log lists the subjects of the branch's commits, newest first.
func (r *Repo) Log(ctx context.Context) ([]string, error) {
	out, err := Git(ctx, "-C", r.Bare, "log", "--format=%s", Branch)
	if err != nil || out == "" {
		return nil, err
	}
	return strings.Split(out, "\n"), nil
}

// Diff is the patch of one commit, without context lines; of a merge it is what it
// brought to the branch.
func (r *Repo) Diff(ctx context.Context, commit string) (string, error) {
	return Git(ctx, "-C", r.Bare, "show", "--format=", "-U0", "--diff-merges=first-parent", commit)
}

// Subject is the first line of a commit's message.
func (r *Repo) Subject(ctx context.Context, commit string) (string, error) {
	return Git(ctx, "-C", r.Bare, "show", "--no-patch", "--format=%s", commit)
}

// File is a file's content at the head of the branch.
func (r *Repo) File(ctx context.Context, path string) (string, error) {
	return r.FileAt(ctx, Branch, path)
}

// FileAt is a file's content at a commit or at the head of a branch.
func (r *Repo) FileAt(ctx context.Context, at, path string) (string, error) {
	return Git(ctx, "-C", r.Bare, "show", at+":"+path)
}

// Git runs the git command without the user's configuration.
func Git(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), nil
}
