// SPDX-License-Identifier: Apache-2.0

package gitrepository_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"golang.org/x/crypto/ssh"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
	"github.com/sluice-cd/sluice/test/make"
)

// author is somebody who signs.
type author struct {
	git.Signer
	file, public, name string
}

func pgpAuthor(t *testing.T) author {
	t.Helper()
	entity, err := openpgp.NewEntity("Author", "", "author@example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	var private, public bytes.Buffer
	if err := entity.SerializePrivate(&private, nil); err != nil {
		t.Fatal(err)
	}
	w, err := armor.Encode(&public, openpgp.PublicKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(entity.Serialize(w), w.Close()); err != nil {
		t.Fatal(err)
	}
	signer, err := git.NewGPGSigner(private.Bytes(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return author{signer, "author.asc", public.String(), entity.PrimaryKey.KeyIdString()}
}

func sshAuthor(t *testing.T) author {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := git.NewSSHSigner(pem.EncodeToMemory(block), nil)
	if err != nil {
		t.Fatal(err)
	}
	public, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return author{signer, "author.sshpub", string(ssh.MarshalAuthorizedKey(public.PublicKey())), ssh.FingerprintSHA256(public.PublicKey())}
}

func (a author) sign(t *testing.T, payload string) string {
	t.Helper()
	signature, err := a.Sign(strings.NewReader(payload))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(signature))
}

// write makes an object of a repository, and lets a ref name it.
func write(t *testing.T, repo *gitserver.Repo, kind, ref, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "object")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	id := repo.Git("hash-object", "-w", "-t", kind, file)
	repo.Git("update-ref", ref, id)
	return id
}

// signHead gives the branch a commit that the author signed.
func (f *fixture) signHead(a author) string {
	f.Helper()
	payload := f.repo.Git("cat-file", "commit", "main") + "\n"
	head, body, _ := strings.Cut(payload, "\n\n")
	header := "gpgsig " + strings.ReplaceAll(a.sign(f.T, payload), "\n", "\n ")
	return write(f.T, f.repo, "commit", "refs/heads/main", head+"\n"+header+"\n\n"+body)
}

// signTag makes a tag of main that the author signed, and lets ref name it.
func (f *fixture) signTag(a author, name, ref string) string {
	f.Helper()
	payload := "object " + f.repo.Head("main") + "\ntype commit\ntag " + name + "\ntagger Test <t@example.com> 1700000000 +0000\n\nA release\n"
	return write(f.T, f.repo, "tag", "refs/tags/"+ref, payload+a.sign(f.T, payload)+"\n")
}

// trusts lets the keys of authors be in a Secret.
func (f *fixture) trusts(mode sourcev1.GitVerificationMode, authors ...author) {
	f.Helper()
	keys := map[string]string{"README": "not a key"}
	for _, a := range authors {
		keys[a.file] += a.public
	}
	secret := make.Secret("apps", "keys", keys)
	f.objects = []ctrlclient.Object{secret}
	f.restart()
	f.obj.Spec.Verification = &sourcev1.GitRepositoryVerification{Mode: mode, SecretRef: meta.LocalObjectReference{Name: "keys"}}
}

func (f *fixture) verifiedIs(status metav1.ConditionStatus, reason, says string) {
	f.Helper()
	c := apimeta.FindStatusCondition(f.obj.Status.Conditions, sourcev1.SourceVerifiedCondition)
	if c == nil || c.Status != status || c.Reason != reason || !strings.Contains(c.Message, says) {
		f.Errorf("SourceVerified is %+v, want %s, %s, %q", c, status, reason, says)
	}
}

func (f *fixture) unverified(reason, says string) error {
	f.Helper()
	_, err := f.reconcile()
	if err == nil || reconciler.ReasonOf(err, f.Reason) != reason || !strings.Contains(err.Error(), says) {
		f.Errorf("failed with %q: %v", reconciler.ReasonOf(err, f.Reason), err)
	}
	f.verifiedIs(metav1.ConditionFalse, reason, says)
	return err
}

func TestSignedCommits(t *testing.T) {
	for name, make := range map[string]func(*testing.T) author{"OpenPGP": pgpAuthor, "SSH": sshAuthor} {
		t.Run(name, func(t *testing.T) {
			f := setup(t)
			good, bad := make(t), make(t)
			unsigned := f.repo.Head("main")
			f.trusts(sourcev1.ModeGitHEAD, good)
			_ = f.unverified("InvalidCommitSignature",
				"signature verification of commit '"+unsigned+"' failed: no valid signature by a trusted key: it is not signed")
			if f.obj.Status.Artifact != nil {
				t.Fatal("there is an artifact of an unsigned commit")
			}
			signed := f.signHead(good)
			result := f.must()
			f.verifiedIs(metav1.ConditionTrue, meta.SucceededReason, "commit '"+signed+"' with key '"+good.name+"'")
			if len(result.Events) != 2 || !strings.HasPrefix(result.Events[0].Message, "verified signature of\n\t- commit") {
				t.Errorf("events are %+v", result.Events)
			}
			if mode := f.obj.Status.SourceVerificationMode; mode == nil || *mode != sourcev1.ModeGitHEAD {
				t.Errorf("the mode is %v", mode)
			}
			if result := f.must(); len(result.Events) != 0 {
				t.Errorf("again: %+v", result.Events)
			}

			f.repo.Commit("main", files{"deploy/app.yaml": "n: 2\n"})
			f.signHead(bad)
			_ = f.unverified("InvalidCommitSignature", "no valid signature by a trusted key")
			if got := f.obj.Status.Artifact.Revision; got != "main@sha1:"+signed {
				t.Errorf("the artifact is of %s", got)
			}
			f.trusts(sourcev1.ModeGitHEAD, good, bad)
			f.must()
			f.trusts(sourcev1.ModeGitHEAD, good) // what was verified with a key that counts no more
			_ = f.unverified("InvalidCommitSignature", "no valid signature by a trusted key")

			f.obj.Spec.Verification = nil
			f.must()
			c := apimeta.FindStatusCondition(f.obj.Status.Conditions, sourcev1.SourceVerifiedCondition)
			if c != nil || f.obj.Status.SourceVerificationMode != nil {
				t.Errorf("without verify: %+v", c)
			}
		})
	}
}

func TestSignedTags(t *testing.T) {
	for name, make := range map[string]func(*testing.T) author{"OpenPGP": pgpAuthor, "SSH": sshAuthor} {
		t.Run(name, func(t *testing.T) {
			f := setup(t)
			good, bad := make(t), make(t)
			f.trusts(sourcev1.ModeGitTag, good)
			err := f.unverified("InvalidVerificationMode", "if a tag reference is not specified")
			if !errors.Is(err, reconcile.TerminalError(nil)) {
				t.Error("it is tried again")
			}
			f.obj.Spec.Reference = &sourcev1.GitRepositoryRef{SemVer: "1.x"}
			f.repo.Git("tag", "v1.0.0", "main")
			_ = f.unverified("InvalidGitObject", "tag 'v1.0.0@sha1:0000000000000000000000000000000000000000' since it is not annotated")
			f.repo.Git("-c", "user.name=t", "-c", "user.email=t@example.com", "tag", "-a", "-m", "unsigned", "v1.0.1", "main")
			_ = f.unverified("InvalidGitObject", "since it is not signed")
			tag := f.signTag(good, "v1.1.0", "v1.1.0")
			f.must()
			f.verifiedIs(metav1.ConditionTrue, meta.SucceededReason, "tag 'v1.1.0@sha1:"+tag+"' with key '"+good.name+"'")
			f.restart()
			f.must()
			f.signTag(good, "v1.1.0", "v1.2.0") // an older release under a newer name
			_ = f.unverified("InvalidTagSignature", `the object of tag v1.2.0 was made for tag "v1.1.0"`)
			f.signTag(bad, "v1.2.0", "v1.2.0")
			_ = f.unverified("InvalidTagSignature", "no valid signature by a trusted key")
			f.signTag(good, "v1.2.0", "v1.2.0")
			f.must()
			f.obj.Spec.Verification.Mode = sourcev1.ModeGitTagAndHEAD
			_ = f.unverified("InvalidCommitSignature", "it is not signed")
			signed := f.signHead(good)
			f.signTag(good, "v1.3.0", "v1.3.0")
			f.must()
			f.verifiedIs(metav1.ConditionTrue, meta.SucceededReason, "commit '"+signed+"' with key '")
			f.verifiedIs(metav1.ConditionTrue, meta.SucceededReason, "- tag 'v1.3.0@sha1:")
		})
	}
}

// Flux takes keys under any name, and Secrets from its time have them: their repository stopped.
func TestPublicKeysOfOpenPGPCountUnderAnyName(t *testing.T) {
	for _, name := range []string{"author1", "author.pub", "key.gpg"} {
		f := setup(t)
		good, other := pgpAuthor(t), author{file: "README", public: "the keys of those who release"}
		good.file = name
		f.trusts(sourcev1.ModeGitHEAD, good, other)
		signed := f.signHead(good)
		f.must()
		f.verifiedIs(metav1.ConditionTrue, meta.SucceededReason, "commit '"+signed+"' with key '"+good.name+"'")
	}
}

func TestKeysThatCannotBeUsed(t *testing.T) {
	f := setup(t)
	f.trusts(sourcev1.ModeGitHEAD)
	_ = f.unverified(sourcev1.VerificationError, "public keys secret 'apps/keys': unusable public keys: there is none named *.asc")
	f.trusts(sourcev1.ModeGitHEAD, author{file: "a.asc", public: "nonsense"})
	_ = f.unverified(sourcev1.VerificationError, "'a.asc'")
	f.trusts(sourcev1.ModeGitHEAD, author{file: "a.sshpub", public: "nonsense"})
	_ = f.unverified(sourcev1.VerificationError, "'a.sshpub': it is no public SSH key")
	f.objects = nil
	f.restart()
	_ = f.unverified(sourcev1.VerificationError, `public keys secret error: secrets "keys" not found`)
}
