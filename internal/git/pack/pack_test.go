// SPDX-License-Identifier: Apache-2.0

package pack_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/sluice-cd/sluice/internal/git/pack"
)

func blob(text string) pack.Object {
	return pack.Object{Type: plumbing.BlobObject, Data: []byte(text)}
}

// none is a repository that has no objects for a thin pack to lean on.
func none(h plumbing.Hash) (pack.Object, error) {
	return pack.Object{}, fmt.Errorf("%w: %s", pack.ErrNotFound, h)
}

func git(t testing.TB, dir, input string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(input)
	var failure bytes.Buffer
	cmd.Stderr = &failure
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git %v: %v: %s", args, err, failure.String())
	}
	return out
}

func TestWrittenPacksAreReadByGitAndByUs(t *testing.T) {
	repo := t.TempDir()
	git(t, repo, "", "init", "-q", "--bare")
	dir := filepath.Join(repo, "objects", "pack")
	objects := []pack.Object{blob(""), blob("a\n"), blob(strings.Repeat("long ", 10_000)), blob("a\n")}
	written, err := pack.Write(dir, objects)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := pack.Open(written.Path())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []*pack.Pack{written, opened} {
		for _, o := range objects {
			got, err := p.Read(o.Hash())
			if err != nil || got.Type != o.Type || !bytes.Equal(got.Data, o.Data) {
				t.Errorf("read %v, %v", got, err)
			}
		}
		if _, err := p.Read(blob("other").Hash()); !errors.Is(err, pack.ErrNotFound) {
			t.Errorf("reading what is not there: %v", err)
		}
	}
	if got := git(t, repo, "", "cat-file", "blob", objects[2].Hash().String()); !bytes.Equal(got, objects[2].Data) {
		t.Errorf("git reads %d bytes", len(got))
	}
	git(t, repo, "", "verify-pack", strings.TrimSuffix(written.Path(), ".pack")+".idx")
}

// deltas returns packs that git made: one with deltas, and a thin one whose
// deltas lean on objects that are not in it.
func deltas(t testing.TB) (full, thin []byte, bases, all []pack.Object) {
	t.Helper()
	repo := t.TempDir()
	git(t, repo, "", "init", "-q")
	var text strings.Builder
	for i := range 400 {
		fmt.Fprintf(&text, "line %d of a file that is long enough for a delta\n", i)
	}
	var list, thinList strings.Builder
	for i := range 12 {
		o := blob(strings.Replace(text.String(), "line 7 ", fmt.Sprintf("line seven, version %d ", i), 1))
		git(t, repo, string(o.Data), "hash-object", "-w", "--stdin")
		all = append(all, o)
		fmt.Fprintf(&list, "%s f\n", o.Hash())
		if i == 0 {
			bases = append(bases, o)
		}
	}
	commit := func(o pack.Object, parent string) string {
		tree := strings.TrimSpace(string(git(t, repo, fmt.Sprintf("100644 blob %s\tf\n", o.Hash()), "mktree")))
		args := []string{"-c", "user.name=t", "-c", "user.email=t@example.com", "commit-tree", "-m", "x", tree}
		if parent != "" {
			args = append(args, "-p", parent)
		}
		return strings.TrimSpace(string(git(t, repo, "", args...)))
	}
	first := commit(all[0], "")
	second := commit(all[1], first)
	fmt.Fprintf(&thinList, "%s\n--not\n%s\n", second, first)
	full = git(t, repo, list.String(), "pack-objects", "--stdout", "--window=20", "--depth=20", "--delta-base-offset", "-q")
	thin = git(t, repo, thinList.String(), "pack-objects", "--stdout", "--thin", "--revs", "-q")
	return full, thin, bases, all
}

func TestReceivedDeltas(t *testing.T) {
	full, thin, bases, all := deltas(t)
	t.Run("within the pack", func(t *testing.T) {
		p, err := pack.Receive(t.Context(), t.TempDir(), bytes.NewReader(full), none, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range all {
			if got, err := p.Read(o.Hash()); err != nil || !bytes.Equal(got.Data, o.Data) {
				t.Errorf("read %d bytes, %v", len(got.Data), err)
			}
		}
	})
	t.Run("on objects that the receiver has", func(t *testing.T) {
		dir := t.TempDir()
		p, err := pack.Receive(t.Context(), dir, bytes.NewReader(thin), func(h plumbing.Hash) (pack.Object, error) {
			for _, o := range bases {
				if o.Hash() == h {
					return o, nil
				}
			}
			return none(h)
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, reader := range []func() (*pack.Pack, error){
			func() (*pack.Pack, error) { return p, nil },
			func() (*pack.Pack, error) { return pack.Open(p.Path()) },
		} {
			p, err := reader()
			if err != nil {
				t.Fatal(err)
			}
			if got, err := p.Read(all[1].Hash()); err != nil || !bytes.Equal(got.Data, all[1].Data) {
				t.Errorf("read %d bytes, %v", len(got.Data), err)
			}
		}
		git(t, dir, "", "verify-pack", strings.TrimSuffix(p.Path(), ".pack")+".idx")
	})
	t.Run("on objects that nobody has", func(t *testing.T) {
		dir := t.TempDir()
		if _, err := pack.Receive(t.Context(), dir, bytes.NewReader(thin), none, nil); !errors.Is(err, pack.ErrMalformed) {
			t.Errorf("got %v, want ErrMalformed", err)
		}
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}

func TestReceiveRefusesWhatIsNotWhole(t *testing.T) {
	full, _, _, _ := deltas(t)
	flipped := bytes.Clone(full)
	flipped[len(flipped)/2] ^= 1
	for name, data := range map[string][]byte{
		"nothing": nil, "a header": full[:12], "a half": full[:len(full)/2],
		"a flipped bit": flipped, "something else": bytes.Repeat([]byte("x"), 100),
	} {
		dir := t.TempDir()
		if p, err := pack.Receive(t.Context(), dir, bytes.NewReader(data), none, nil); !errors.Is(err, pack.ErrMalformed) {
			t.Errorf("%s: got %v, %v, want ErrMalformed", name, p, err)
		}
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Errorf("%s: left behind: %v", name, left)
		}
	}
	var empty bytes.Buffer
	if err := pack.Encode(&empty, nil); err != nil {
		t.Fatal(err)
	}
	if p, err := pack.Receive(t.Context(), t.TempDir(), &empty, none, nil); p != nil || err != nil {
		t.Errorf("an empty pack: %v, %v, want nothing", p, err)
	}
}

func FuzzReceive(f *testing.F) {
	full, thin, _, _ := deltas(f)
	f.Add(full)
	f.Add(thin)
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := pack.Receive(t.Context(), t.TempDir(), bytes.NewReader(pack.Sealed(data)), none, nil)
		if err != nil || p == nil {
			return
		}
		for _, err := range p.All() {
			if err != nil {
				t.Error(err)
			}
		}
	})
}
