// SPDX-License-Identifier: Apache-2.0

package git_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"golang.org/x/crypto/ssh"

	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
)

const passphrase = "open sesame"

// verified pushes a commit signed by signer and lets Git itself check it.
func verified(t *testing.T, signer git.Signer, config ...string) {
	t.Helper()
	server := gitserver.New(t)
	repo := server.Repo("app")
	repo.Commit("main", files{"a.yaml": "a: 1\n"})
	m := open(t, t.TempDir(), git.Remote{URL: repo.URL})
	base := pull(t, m, "main").Commit()
	signed := info("Sign this\n\nwith a body\n")
	signed.Signer = signer
	made, err := m.Write(t.Context(), base, map[string][]byte{"a.yaml": []byte("a: 2\n")}, signed)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Push(t.Context(), nil, git.RefUpdate{Ref: "main", Old: base, New: made}); err != nil {
		t.Fatal(err)
	}
	clone := filepath.Join(t.TempDir(), "clone")
	for _, args := range [][]string{
		{"clone", "-q", repo.URL, clone},
		append(append([]string{"-C", clone}, config...), "verify-commit", made.String()),
	} {
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GNUPGHOME="+t.TempDir())
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

func TestGitAcceptsCommitsSignedWithSSHKeys(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		key       any
		encrypted bool
	}{
		"ed25519":           {ed, false},
		"encrypted ed25519": {ed, true},
		"ECDSA P-256":       {ec, false},
		"RSA with SHA-2":    {r, false},
	} {
		t.Run(name, func(t *testing.T) {
			identity, password := sshKey(t, tc.key), ""
			if tc.encrypted {
				password = passphrase
				identity = encrypt(t, identity, password)
			}
			signer, err := git.NewSSHSigner(identity, []byte(password))
			if err != nil {
				t.Fatal(err)
			}
			public, err := ssh.NewSignerFromKey(tc.key)
			if err != nil {
				t.Fatal(err)
			}
			allowed := filepath.Join(t.TempDir(), "allowed")
			line := append([]byte("sluice@example.com "), ssh.MarshalAuthorizedKey(public.PublicKey())...)
			if err := os.WriteFile(allowed, line, 0o600); err != nil {
				t.Fatal(err)
			}
			verified(t, signer, "-c", "gpg.format=ssh", "-c", "gpg.ssh.allowedSignersFile="+allowed)
		})
	}
}

// sshKey is a private key in the format of OpenSSH.
func sshKey(t *testing.T, key any) []byte {
	t.Helper()
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(block)
}

// encrypt is a private key with a password, made as cheap to open as the format
// allows: what makes guesses expensive is not what is tested, and takes seconds
// under the race detector.
func encrypt(t *testing.T, key []byte, password string) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, key, 0o600); err != nil {
		t.Fatal(err)
	}
	change := exec.CommandContext(t.Context(), "ssh-keygen", "-q", "-p", "-a", "1", "-P", "", "-N", password, "-f", file)
	if out, err := change.CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	encrypted, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return encrypted
}

// gpgKey is a new OpenPGP key, armored, encrypted if password is not empty.
func gpgKey(t *testing.T, password string) (key []byte, entity *openpgp.Entity) {
	t.Helper()
	entity, err := openpgp.NewEntity("Sluice", "", "sluice@example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	armored := armored(t, &out, openpgp.PrivateKeyType)
	if password != "" {
		if err := entity.EncryptPrivateKeys([]byte(password), nil); err != nil {
			t.Fatal(err)
		}
		err = entity.SerializePrivateWithoutSigning(armored, nil)
	} else {
		err = entity.SerializePrivate(armored, nil)
	}
	if err := errors.Join(err, armored.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), entity
}

func armored(t *testing.T, out io.Writer, kind string) io.WriteCloser {
	t.Helper()
	w, err := armor.Encode(out, kind, nil)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestCommitsAreSignedWithOpenPGPKeys(t *testing.T) {
	for name, password := range map[string]string{"plain key": "", "encrypted key": passphrase} {
		t.Run(name, func(t *testing.T) {
			key, entity := gpgKey(t, password)
			signer, err := git.NewGPGSigner(key, []byte(password))
			if err != nil {
				t.Fatal(err)
			}
			signature, err := signer.Sign(strings.NewReader("a commit"))
			if err != nil {
				t.Fatal(err)
			}
			check := func(message string) error {
				_, err := openpgp.CheckArmoredDetachedSignature(openpgp.EntityList{entity}, strings.NewReader(message), bytes.NewReader(signature), nil)
				return err
			}
			if err := check("a commit"); err != nil {
				t.Error(err)
			}
			if err := check("another commit"); err == nil {
				t.Error("the signature fits another commit too")
			}
		})
	}
}

// exported is a key that gpg exported, with what is named as its secret part.
func exported(t *testing.T, name string) []byte {
	t.Helper()
	key, err := os.ReadFile(filepath.Join("testdata", "gpg", name+".asc"))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestAPassphraseOpensASubkeyWhosePrimaryKeyIsElsewhere(t *testing.T) {
	key := exported(t, "only-subkeys")
	signer, err := git.NewGPGSigner(key, []byte(passphrase))
	if err != nil {
		t.Fatal(err)
	}
	signature, err := signer.Sign(strings.NewReader("a commit"))
	if err != nil {
		t.Fatal(err)
	}
	ring, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(key))
	if err != nil {
		t.Fatal(err)
	}
	by, err := openpgp.CheckArmoredDetachedSignature(ring, strings.NewReader("a commit"), bytes.NewReader(signature), nil)
	if err != nil || by.PrimaryKey.KeyId != ring[0].PrimaryKey.KeyId {
		t.Errorf("signed by %v, %v", by, err)
	}
}

func TestSigningKeysThatCannotSignAreNamed(t *testing.T) {
	encrypted, _ := gpgKey(t, passphrase)
	subkeys := exported(t, "only-subkeys")
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	identity := encrypt(t, sshKey(t, ed), passphrase)
	for name, tc := range map[string]struct {
		read     func(key, passphrase []byte) (git.Signer, error)
		key      []byte
		password string
		want     string
	}{
		"an OpenPGP key without its passphrase": {git.NewGPGSigner, encrypted, "", "needs a passphrase"},
		"an OpenPGP key with another":           {git.NewGPGSigner, encrypted, "guess", "does not fit"},
		"a subkey without its passphrase":       {git.NewGPGSigner, subkeys, "", "needs a passphrase"},
		"a subkey with another":                 {git.NewGPGSigner, subkeys, "guess", "does not fit"},
		"the subkeys that do not sign":          {git.NewGPGSigner, exported(t, "cannot-sign"), passphrase, "no part that may sign"},
		"text that is no OpenPGP key":           {git.NewGPGSigner, []byte("hello"), "", "reading the OpenPGP key"},
		"an SSH key without its password":       {git.NewSSHSigner, identity, "", "needs a password"},
		"an SSH key with another":               {git.NewSSHSigner, identity, "guess", "does not fit"},
		"text that is no SSH key":               {git.NewSSHSigner, []byte("hello"), "", "reading the SSH key"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tc.read(tc.key, []byte(tc.password))
			if !errors.Is(err, git.ErrSigningKey) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}
