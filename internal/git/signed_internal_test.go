// SPDX-License-Identifier: Apache-2.0

package git

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/google/go-cmp/cmp"
)

func TestWhereASignatureIsInAnObject(t *testing.T) {
	const head = "tree 1\nauthor A <a@b> 1 +0000\n"
	for name, tc := range map[string]struct {
		data, payload, signature string
		split                    func([]byte) Signed
	}{
		"an unsigned commit":              {head + "\nwhy\n", head + "\nwhy\n", "", splitCommit},
		"a signed commit":                 {head + "gpgsig -----B\n x\n \n y\n\nwhy\n", head + "\nwhy\n", "-----B\nx\n\ny\n", splitCommit},
		"a header after the signature":    {"gpgsig a\n b\nencoding x\n\nwhy", "encoding x\n\nwhy", "a\nb\n", splitCommit},
		"a signature of the other format": {"gpgsig-sha256 a\n b\n" + head + "\nwhy", head + "\nwhy", "", splitCommit},
		"gpgsig in the message":           {head + "\ngpgsig a\n b\n", head + "\ngpgsig a\n b\n", "", splitCommit},
		"a commit that ends in its head":  {"tree 1", "tree 1", "", splitCommit},
		"nothing":                         {"", "", "", splitCommit},
		"an unsigned tag":                 {"object 1\n\nwhy\n", "object 1\n\nwhy\n", "", splitTag},
		"a tag signed with OpenPGP": {
			"object 1\n\nwhy\n-----BEGIN PGP SIGNATURE-----\nx\n", "object 1\n\nwhy\n", "-----BEGIN PGP SIGNATURE-----\nx\n", splitTag,
		},
		"a tag signed with SSH that quotes a signature": {
			"o\n\n-----BEGIN SSH SIGNATURE-----\nquoted\n-----BEGIN SSH SIGNATURE-----\nx", "o\n\n-----BEGIN SSH SIGNATURE-----\nquoted\n",
			"-----BEGIN SSH SIGNATURE-----\nx", splitTag,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := tc.split([]byte(tc.data))
			if diff := cmp.Diff([]string{tc.payload, tc.signature}, []string{string(got.Payload), string(got.Signature)}); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestATagCountsForWhatItSays(t *testing.T) {
	commit := plumbing.NewHash(strings.Repeat("a", 40))
	selected := Selected{Ref: "refs/tags/v2", Label: "v2", Commit: commit}
	const other = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	for name, tc := range map[string]struct{ data, says string }{
		"the tag":               {"object " + commit.String() + "\ntype commit\ntag v2\n\nwhy\n", ""},
		"another name":          {"object " + commit.String() + "\ntype commit\ntag v1\n\ntag v2\n", `made for tag "v1"`},
		"no name":               {"object " + commit.String() + "\ntype commit\n\nwhy\n", `made for tag ""`},
		"two names":             {"object " + commit.String() + "\ntype commit\ntag v1\ntag v2\n\n", "it says tag twice"},
		"another commit":        {"object " + other + "\ntype commit\ntag v2\n\n", "instead of commit " + commit.String()},
		"a tag of another tag":  {"object " + other + "\ntype tag\ntag v2\n\n", "names tag " + other},
		"a tag of another kind": {"object " + commit.String() + "\ntype tree\ntag v2\n\n", "names tree"},
		"nothing":               {"", "made for"},
	} {
		t.Run(name, func(t *testing.T) {
			err := checkTag([]byte(tc.data), selected)
			if tc.says == "" && err != nil || tc.says != "" && (!errors.Is(err, ErrTag) || !strings.Contains(err.Error(), tc.says)) {
				t.Errorf("got %v, want %q", err, tc.says)
			}
		})
	}
}

// FuzzSplitCommit puts a signature into any commit, and finds both again.
func FuzzSplitCommit(f *testing.F) {
	f.Add([]byte("tree 1\nparent 2\n"), []byte("\nwhy\n"), []byte("sig\nnature\n"))
	f.Fuzz(func(t *testing.T, head, body, signature []byte) {
		if got := splitCommit(append(bytes.Clone(head), body...)); len(got.Payload) > len(head)+len(body) {
			t.Fatal("it grew")
		}
		header := append([]byte("gpgsig "), bytes.ReplaceAll(bytes.TrimSuffix(signature, []byte("\n")), []byte("\n"), []byte("\n "))...)
		commit := append(append(bytes.Clone([]byte("tree 1\n")), append(header, '\n')...), append([]byte("\n"), body...)...)
		got := splitCommit(commit)
		if want := append([]byte("tree 1\n\n"), body...); !bytes.Equal(got.Payload, want) {
			t.Errorf("payload %q, want %q", got.Payload, want)
		}
		if want := append(bytes.TrimSuffix(bytes.Clone(signature), []byte("\n")), '\n'); !bytes.Equal(got.Signature, want) {
			t.Errorf("signature %q, want %q", got.Signature, want)
		}
	})
}

// FuzzTrust verifies what anybody may sign with what anybody may trust.
func FuzzTrust(f *testing.F) {
	const signature = "-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\n-----END SSH SIGNATURE-----\n"
	f.Add([]byte(signature), []byte("ssh-ed25519 AAAA"), []byte("-----BEGIN PGP"))
	f.Fuzz(func(t *testing.T, signature, line, block []byte) {
		keys, err := ReadTrustedKeys(map[string][]byte{"a.sshpub": line, "b.asc": block, "c": line})
		if err != nil && !errors.Is(err, ErrTrustedKeys) {
			t.Errorf("reading keys: %v", err)
		}
		if signer, err := keys.Verify(Signed{Payload: line, Signature: signature}); err == nil && len(keys.pgp)+len(keys.ssh) == 0 {
			t.Errorf("%s signed", signer)
		}
	})
}

func TestWhereASubmoduleIs(t *testing.T) {
	const auth = "secret"
	for name, tc := range map[string]struct {
		of, address, want string
		withAuth          bool
	}{
		"beside":                     {"https://git.example.com/team/app.git", "../lib.git", "https://git.example.com/team/lib.git", true},
		"below":                      {"https://git.example.com/team/app", "./lib", "https://git.example.com/team/app/lib", true},
		"above the root":             {"https://git.example.com/app", "../../../lib", "https://git.example.com/lib", true},
		"on the same host":           {"https://git.example.com/team/app", "https://GIT.example.com/x", "https://GIT.example.com/x", true},
		"with the user of the other": {"https://u:p@git.example.com/app", "https://git.example.com/x", "https://u:p@git.example.com/x", true},
		"on another host":            {"https://u:p@git.example.com/app", "https://example.com/x", "https://example.com/x", false},
		"on another port":            {"https://git.example.com/app", "https://git.example.com:8443/x", "https://git.example.com:8443/x", false},
		"without encryption":         {"https://git.example.com/app", "http://git.example.com/x", "http://git.example.com/x", false},
		"in the form of scp":         {"ssh://git@git.example.com/app", "git@git.example.com:x.git", "ssh://git@git.example.com/x.git", true},
		"by ssh from https":          {"https://git.example.com/app", "git@git.example.com:x.git", "ssh://git@git.example.com/x.git", false},
	} {
		t.Run(name, func(t *testing.T) {
			parent := Remote{URL: tc.of, Namespace: "apps", Owner: "apps/app", Auth: Auth{Password: auth, Username: "u", Proxy: "http://proxy"}}
			got, err := parent.submodule(tc.address)
			if err != nil {
				t.Fatal(err)
			}
			if got.URL != tc.want || (got.Auth.Password == auth) != tc.withAuth || got.Owner != "" || got.Auth.Proxy != "http://proxy" {
				t.Errorf("got %+v", got)
			}
		})
	}
	for _, address := range []string{"", "/srv/git/x", "file:///x", "../" /* the host */} {
		got, err := Remote{URL: "https://git.example.com/app"}.submodule(address)
		if err == nil && address != "../" {
			t.Errorf("%q is %s", address, got)
		}
	}
}

// FuzzModules reads any .gitmodules.
func FuzzModules(f *testing.F) {
	f.Add([]byte("[submodule \"a\"]\n\tpath = a/b\n\turl = ../x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		urls, err := parseModules(data)
		if err != nil && !errors.Is(err, ErrSubmodules) {
			t.Errorf("failed with %v", err)
		}
		for at, url := range urls {
			if at == "" || strings.HasPrefix(at, "../") || at == ".." || url == "" {
				t.Errorf("%q is at %q", url, at)
			}
		}
	})
}
