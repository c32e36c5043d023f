// SPDX-License-Identifier: Apache-2.0

package gitrepository_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// run runs a program, and returns what it printed.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// TestWhatGitSigns lets Git itself sign: with SSH, and where a gpg is installed with that.
func TestWhatGitSigns(t *testing.T) {
	ways := map[string]func(*testing.T) (args []string, public author){
		"SSH": func(t *testing.T) ([]string, author) {
			t.Helper()
			key := filepath.Join(t.TempDir(), "key")
			run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "author@example.com", "-f", key)
			public, err := os.ReadFile(key + ".pub")
			if err != nil {
				t.Fatal(err)
			}
			return []string{"-c", "gpg.format=ssh", "-c", "user.signingkey=" + key}, author{file: "a.sshpub", public: string(public)}
		},
	}
	if _, err := exec.LookPath("gpg"); err == nil {
		ways["gpg"] = func(t *testing.T) ([]string, author) {
			t.Helper()
			home, err := os.MkdirTemp("", "gpg") // a socket's path must be short
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				_ = exec.Command("gpgconf", "--homedir", home, "--kill", "all").Run() // after the test
				_ = os.RemoveAll(home)
			})
			t.Setenv("GNUPGHOME", home)
			run(t, "gpg", "--batch", "--passphrase", "", "--quick-generate-key", "author@example.com", "default", "default")
			return []string{"-c", "user.signingkey=author@example.com"}, author{file: "a.asc", public: run(t, "gpg", "--armor", "--export")}
		}
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			f := setup(t)
			args, public := way(t)
			args = append(args, "-c", "user.name=Author", "-c", "user.email=author@example.com")
			git := func(more ...string) string { return strings.TrimSpace(f.repo.Git(append(args, more...)...)) }
			commit := git("commit-tree", "-S", "-p", "main", "-m", "Signed\n\nby Git itself\n", "main^{tree}")
			f.repo.Git("update-ref", "refs/heads/main", commit)
			git("tag", "-s", "-m", "A release\n\nwith a body", "v1.0.0", "main")
			f.obj.Spec.Reference = &sourcev1.GitRepositoryRef{Tag: "v1.0.0"}
			f.trusts(sourcev1.ModeGitTagAndHEAD, public)
			f.must()
			f.verifiedIs(metav1.ConditionTrue, meta.SucceededReason, "- commit '"+commit+"' with key '")
			f.trusts(sourcev1.ModeGitTagAndHEAD, pgpAuthor(t), sshAuthor(t))
			_ = f.unverified("InvalidTagSignature", "signature verification of tag 'v1.0.0@sha1:")
		})
	}
}
