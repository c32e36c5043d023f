// SPDX-License-Identifier: Apache-2.0

package gitserver

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// Files are contents by path. A path with Delete is removed by a commit.
type Files map[string]string

// Delete as a content removes the file.
const Delete = "\x00delete"

// Repo is one bare repository of a server.
type Repo struct {
	// URL is where clients reach it, and Dir where it lies.
	URL, Dir string

	tb testing.TB
}

// settings let pushes over HTTP in. Nothing here lives long enough to be worth collecting or
// syncing.
const settings = "[http]\n\treceivepack = true\n[gc]\n\tauto = 0\n[receive]\n\tautogc = false\n[core]\n\tfsync = none\n"

// create makes an empty bare repository that accepts pushes over HTTP.
func create(dir string) error {
	if out, err := command("init", "-q", "--bare", "--initial-branch=main", "--template=", dir).CombinedOutput(); err != nil {
		return fmt.Errorf("git init: %w: %s", err, out)
	}
	if err := os.Mkdir(filepath.Join(dir, "hooks"), 0o777); err != nil {
		return err
	}
	config, err := os.OpenFile(filepath.Join(dir, "config"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = config.WriteString(settings)
	return errors.Join(err, config.Close())
}

// command runs git without the configuration of whoever runs the test.
func command(args ...string) *exec.Cmd {
	cmd := exec.Command("git", args...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull)
	return cmd
}

// Git runs a git command in the repository and returns what it printed.
func (r *Repo) Git(args ...string) string {
	r.tb.Helper()
	out, err := command(append([]string{"-C", r.Dir}, args...)...).CombinedOutput()
	if err != nil {
		r.tb.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSuffix(string(out), "\n")
}

// clock numbers the commits of a test binary, so that no two are the same.
var clock atomic.Int64

// Commit adds files on top of a branch, which it makes if it is not there, and
// returns the new commit. Executables and symlinks are given with their mode
// before the path: "100755 run.sh", "120000 link".
func (r *Repo) Commit(branch string, files Files) string {
	r.tb.Helper()
	parent := ""
	if r.Has(branch) {
		parent = "refs/heads/" + branch + "^0"
	}
	return r.commit(branch, parent, files)
}

// Replace makes the branch an unrelated commit that has just these files: what
// a force push leaves.
func (r *Repo) Replace(branch string, files Files) string {
	r.tb.Helper()
	if r.Has(branch) {
		r.Git("update-ref", "-d", "refs/heads/"+branch)
	}
	return r.commit(branch, "", files)
}

// commit makes a commit on top of parent, or the first of all if that is empty, the branch.
func (r *Repo) commit(branch, parent string, files Files) string {
	r.tb.Helper()
	n := clock.Add(1)
	var script bytes.Buffer
	message := fmt.Sprintf("commit %d", n)
	fmt.Fprintf(&script, "commit refs/heads/%s\ncommitter Test <test@example.com> %d +0000\ndata %d\n%s\n",
		branch, 1_700_000_000+n, len(message), message)
	if parent != "" {
		fmt.Fprintf(&script, "from %s\n", parent)
	}
	paths := make([]string, 0, len(files))
	for name := range files {
		paths = append(paths, name)
	}
	slices.Sort(paths)
	for _, name := range paths {
		mode, file := splitMode(name)
		if files[name] == Delete {
			fmt.Fprintf(&script, "D %s\n", file)
			continue
		}
		fmt.Fprintf(&script, "M %s inline %s\ndata %d\n%s\n", mode, file, len(files[name]), files[name])
	}
	cmd := command("-C", r.Dir, "fast-import", "--quiet", "--force")
	cmd.Stdin = &script
	if out, err := cmd.CombinedOutput(); err != nil {
		r.tb.Fatalf("git fast-import: %v\n%s", err, out)
	}
	return r.Head(branch)
}

// splitMode parts "100755 run.sh" into the mode and the path.
func splitMode(name string) (mode, file string) {
	if mode, file, ok := strings.Cut(name, " "); ok && len(mode) == 6 && strings.HasPrefix(mode, "1") {
		return mode, file
	}
	return "100644", name
}

// Has reports whether the branch exists.
func (r *Repo) Has(branch string) bool {
	return r.loose(branch) != "" || command("-C", r.Dir, "show-ref", "--quiet", "refs/heads/"+branch).Run() == nil
}

// Head returns the commit that a revision names.
func (r *Repo) Head(revision string) string {
	r.tb.Helper()
	if commit := r.loose(revision); commit != "" {
		return commit
	}
	return r.Git("rev-parse", revision+"^{commit}")
}

// loose is the head of a branch that has a file of its own, as those have that something was
// pushed to; else empty. A test asks so often that a program for each would be most of it.
func (r *Repo) loose(branch string) string {
	text, err := os.ReadFile(filepath.Join(r.Dir, "refs", "heads", filepath.FromSlash(branch)))
	if commit := strings.TrimSpace(string(text)); err == nil && len(commit) == 40 {
		return commit
	}
	return ""
}

// File returns the content of a file at a revision.
func (r *Repo) File(revision, path string) string {
	r.tb.Helper()
	out, err := command("-C", r.Dir, "cat-file", "blob", revision+":"+path).Output()
	if err != nil {
		r.tb.Fatalf("reading %s at %s: %v", path, revision, err)
	}
	return string(out)
}

// certificatePEM is the certificate that a TLS test server shows.
func certificatePEM(s *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}
