// SPDX-License-Identifier: Apache-2.0

package source_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/disk"
	"github.com/sluice-cd/sluice/internal/tree"
	"github.com/sluice-cd/sluice/source"
)

var (
	now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	key = source.Key{Kind: "GitRepository", Namespace: "apps", Name: "podinfo"}
)

// serve starts a store behind a real HTTP server.
func serve(t testing.TB, dir string) (*source.Store, string) {
	t.Helper()
	var store *source.Store
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { store.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	store = source.NewStore(dir, strings.TrimPrefix(server.URL, "http://"), clocktesting.NewFakePassiveClock(now))
	return store, server.URL
}

func put(t testing.TB, s *source.Store, name string, v *source.View) *meta.Artifact {
	t.Helper()
	a, err := s.Put(t.Context(), key, source.Content{Name: name, Revision: "main@sha1:" + name, View: v})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func get(t testing.TB, url string) (int, []byte) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, data
}

// many is enough files for a good number of members.
func many() map[string]string {
	files := map[string]string{"run.sh": "#!/bin/sh\n"}
	for i := range 500 {
		files[fmt.Sprintf("apps/%02d/%03d.yaml", i/50, i)] = fmt.Sprintf("n: %d\n", i)
	}
	return files
}

func TestArtifactIsWhatItsStatusSays(t *testing.T) {
	store, url := serve(t, t.TempDir())
	files := many()
	files[strings.Repeat("long/", 60)+"name.yaml"] = "deep\n"
	v := viewOf(t, files, nil, nil)
	a := put(t, store, "c1", v)
	if want := url + "/gitrepository/apps/podinfo/c1.tar.gz"; a.URL != want {
		t.Errorf("URL is %s, want %s", a.URL, want)
	}
	if a.Path != "gitrepository/apps/podinfo/c1.tar.gz" || a.Revision != "main@sha1:c1" || !a.LastUpdateTime.Time.Equal(now) {
		t.Errorf("artifact is %+v", a)
	}
	if status, data := get(t, a.URL); status != http.StatusOK || int64(len(data)) != *a.Size {
		t.Errorf("%s: status %d, %d bytes, want %d", a.URL, status, len(data), *a.Size)
	}
	t.Run("an opener elsewhere reads the same tree", func(t *testing.T) {
		got, err := source.NewOpener(nil).Open(t.Context(), "apps", a)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(files, contentsOf(t, got)); diff != "" {
			t.Error(diff)
		}
		if e, err := got.Stat("run.sh"); err != nil || e.Mode != tree.Executable {
			t.Errorf("run.sh is %+v, %v", e, err)
		}
		for _, path := range []string{"", "apps/03", "run.sh"} {
			want, _ := v.Hash(path)
			if hash, _ := got.Hash(path); hash != want {
				t.Errorf("hash of %q is %s, in the view %s", path, hash, want)
			}
		}
	})
	t.Run("an opener here reads the view itself", func(t *testing.T) {
		if got, err := source.NewOpener(store).Open(t.Context(), "apps", a); err != nil || got != tree.Tree(v) {
			t.Errorf("got %T, %v", got, err)
		}
	})
	t.Run("the tools of the field can read it", func(t *testing.T) {
		dir := t.TempDir()
		_, data := get(t, a.URL)
		file := filepath.Join(dir, "a.tar.gz")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"gzip", "-t", file}, {"tar", "-xzf", file, "-C", dir}} {
			if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
				t.Errorf("%v: %v: %s", args, err, out)
			}
		}
		if data, err := os.ReadFile(filepath.Join(dir, "apps/07/353.yaml")); err != nil || string(data) != "n: 353\n" {
			t.Errorf("unpacked %q, %v", data, err)
		}
		if info, err := os.Stat(filepath.Join(dir, "run.sh")); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("run.sh has mode %v, %v", info.Mode(), err)
		}
	})
}

func TestNextArtifactIsSplicedAndStillTheSameBytes(t *testing.T) {
	store, _ := serve(t, t.TempDir())
	first := viewOf(t, many(), nil, nil)
	put(t, store, "c1", first)
	changes := map[string]func(files map[string]string){
		"a changed file": func(files map[string]string) { files["apps/03/160.yaml"] = "changed\n" },
		"an added file":  func(files map[string]string) { files["apps/03/160a.yaml"] = "added\n" },
		"a removed file": func(files map[string]string) { delete(files, "apps/03/160.yaml") },
		"a new mode":     func(files map[string]string) { files["apps/03/160.yaml"] = "#!/bin/sh\n" },
		"nothing":        func(map[string]string) {},
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			files := many()
			change(files)
			from := treeOf(t, files)
			v, err := source.NewView(t.Context(), from, nil, first, nil)
			if err != nil {
				t.Fatal(err)
			}
			from.reads = 0
			spliced := put(t, store, "c2", v)
			if from.reads > 150 {
				t.Errorf("%d files of 501 were read", from.reads)
			}
			fresh, _ := serve(t, t.TempDir())
			if whole := put(t, fresh, "c2", viewOf(t, files, nil, nil)); whole.Digest != spliced.Digest || *whole.Size != *spliced.Size {
				t.Errorf("spliced %s (%d), whole %s (%d)", spliced.Digest, *spliced.Size, whole.Digest, *whole.Size)
			}
		})
	}
}

// With --artifact-digest-algo, Flux's source-controller gives artifacts such digests.
func TestArtifactsMayHaveAnyDigestThatFluxReads(t *testing.T) {
	store, url := serve(t, t.TempDir())
	artifact := put(t, store, "c1", viewOf(t, map[string]string{"a.yaml": "a: 1\n"}, nil, nil))
	_, data := get(t, url+"/"+artifact.Path)
	for _, algorithm := range []digest.Algorithm{digest.SHA256, digest.SHA384, digest.SHA512, "blake3"} {
		if !algorithm.Available() {
			t.Errorf("%s is not known", algorithm)
			continue
		}
		theirs := *artifact
		theirs.Digest = algorithm.FromBytes(data).String()
		if _, err := source.NewOpener(nil).Open(t.Context(), "apps", &theirs); err != nil {
			t.Errorf("%s: %v", algorithm, err)
		}
		theirs.Digest = algorithm.FromString("something else").String()
		if _, err := source.NewOpener(nil).Open(t.Context(), "apps", &theirs); !errors.Is(err, source.ErrDigestMismatch) {
			t.Errorf("%s of something else: %v", algorithm, err)
		}
	}
}

func TestDigestsAreMadeByTheAlgorithmThatIsAskedFor(t *testing.T) {
	for _, algorithm := range []digest.Algorithm{digest.SHA384, digest.SHA512, digest.BLAKE3} {
		store, _ := serve(t, t.TempDir())
		store.Digest = algorithm
		a := put(t, store, "c1", viewOf(t, map[string]string{"a.yaml": "a: 1\n"}, nil, nil))
		_, data := get(t, a.URL)
		if a.Digest != algorithm.FromBytes(data).String() || !store.Holds(a) {
			t.Errorf("%s: the digest is %s", algorithm, a.Digest)
		}
	}
}

func TestArtifactsStayAsLongAsIsAskedFor(t *testing.T) {
	for name, tc := range map[string]struct {
		retention source.Retention
		want      []bool
	}{
		"by default":              {source.DefaultRetention, []bool{false, false, true, true}},
		"one":                     {source.Retention{Records: 1, TTL: time.Hour}, []bool{false, false, false, true}},
		"three":                   {source.Retention{Records: 3, TTL: time.Hour}, []bool{false, true, true, true}},
		"for no time":             {source.Retention{Records: 10}, []bool{false, false, false, true}},
		"many, for a while":       {source.Retention{Records: 10, TTL: 90 * time.Second}, []bool{false, true, true, true}},
		"many, for a longer time": {source.Retention{Records: 10, TTL: time.Hour}, []bool{true, true, true, true}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			store, _ := serve(t, dir)
			var made []*meta.Artifact
			for i := range 4 {
				if i == 3 { // those before were stored one and two and three minutes ago
					for j, a := range made {
						at := now.Add(time.Duration(j-3) * time.Minute)
						if err := os.Chtimes(filepath.Join(dir, filepath.FromSlash(a.Path)), at, at); err != nil {
							t.Fatal(err)
						}
					}
				}
				store.Retention = source.Retention{Records: 100, TTL: time.Hour}
				if i == 3 {
					store.Retention = tc.retention
				}
				made = append(made, put(t, store, fmt.Sprintf("c%d", i), viewOf(t, map[string]string{"f": fmt.Sprint(i)}, nil, nil)))
			}
			for i, a := range made {
				if got := store.Holds(a); got != tc.want[i] {
					t.Errorf("holds c%d: %v", i, got)
				}
			}
		})
	}
}

func TestDamagedArtifactIsNotedAndNotCopied(t *testing.T) {
	dir := t.TempDir()
	store, _ := serve(t, dir)
	a := put(t, store, "c1", viewOf(t, many(), nil, nil))
	path := filepath.Join(dir, filepath.FromSlash(a.Path))
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(data); i += 100 {
		data[i] ^= 0xff
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	next, _ := serve(t, dir) // a new process
	if next.Holds(a) {
		t.Error("the damage was not seen")
	}
	if _, err := source.NewOpener(next).Open(t.Context(), "apps", a); err == nil {
		t.Error("opened a damaged artifact")
	}
	if again := put(t, next, "c1", viewOf(t, many(), nil, nil)); again.Digest != a.Digest || !next.Holds(a) {
		t.Errorf("made again it is %s, want %s", again.Digest, a.Digest)
	}
}

func TestStoreKeepsTwoAndRemovesAll(t *testing.T) {
	dir := t.TempDir()
	store, url := serve(t, dir)
	var made []*meta.Artifact
	for i := range 4 {
		a := put(t, store, fmt.Sprintf("c%d", i), viewOf(t, map[string]string{"f": fmt.Sprint(i)}, nil, nil))
		at := filepath.Join(dir, filepath.FromSlash(a.Path))
		if err := os.Chtimes(at, now, now.Add(time.Duration(i)*time.Second)); err != nil {
			t.Fatal(err)
		}
		made = append(made, a)
	}
	for i, a := range made {
		if got, want := store.Holds(a), i >= 2; got != want {
			t.Errorf("holds c%d: %v, want %v", i, got, want)
		}
	}
	if _, err := source.NewOpener(nil).Open(t.Context(), "apps", made[0]); !errors.Is(err, source.ErrArtifactMissing) {
		t.Errorf("opening an old artifact: %v, want ErrArtifactMissing", err)
	}
	for _, path := range []string{
		"", "/", "/gitrepository/", "/gitrepository/apps/podinfo/", "/gitrepository/apps/podinfo/c3.members.json",
		"/../store_test.go", "/gitrepository/apps/podinfo/latest.tar.gz", "/gitrepository/apps/podinfo/.tar.gz",
	} {
		if status, _ := get(t, url+path); status != http.StatusNotFound {
			t.Errorf("GET %s: status %d, want 404", path, status)
		}
	}
	res, err := http.Post(made[3].URL, "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %s", res.Status)
	}
	if err := store.Remove(key); err != nil {
		t.Fatal(err)
	}
	if store.Holds(made[3]) || store.Published(made[3].Digest) != nil {
		t.Error("artifacts survive their source")
	}
}

func TestArtifactsThatNoObjectOwnsAreRemoved(t *testing.T) {
	store, _ := serve(t, t.TempDir())
	store.Space = disk.New(1 << 30)
	content := func() source.Content {
		return source.Content{Name: "c1", View: viewOf(t, map[string]string{"f": "1"}, nil, nil)}
	}
	var all []*meta.Artifact
	keys := []source.Key{{Kind: "GitRepository", Namespace: "apps", Name: "app"}, {Kind: "Bucket", Namespace: "apps", Name: "app"}}
	for _, k := range keys {
		a, err := store.Put(t.Context(), k, content())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, a)
	}
	before := store.Space.Used("apps")
	failed := errors.New("no API server")
	err := store.RemoveUnowned(t.Context(), func(context.Context) ([]source.Key, error) { return nil, failed })
	if !errors.Is(err, failed) || !store.Holds(all[0]) || !store.Holds(all[1]) {
		t.Errorf("when it is not known who owns them: %v", err)
	}
	err = store.RemoveUnowned(t.Context(), func(context.Context) ([]source.Key, error) {
		_, err := store.Put(t.Context(), source.Key{Kind: "OCIRepository", Namespace: "apps", Name: "new"}, content())
		return keys[:1], err
	})
	if err != nil || !store.Holds(all[0]) || store.Holds(all[1]) {
		t.Errorf("of two, the first has an owner: %v, %v, %v", err, store.Holds(all[0]), store.Holds(all[1]))
	}
	if used := store.Space.Used("apps"); used != before {
		t.Errorf("%d bytes are counted, want %d: one was removed, and another came meanwhile", used, before)
	}
}

func TestOpenerRefuses(t *testing.T) {
	store, url := serve(t, t.TempDir())
	a := put(t, store, "c1", viewOf(t, map[string]string{"f": "1"}, nil, nil))
	other := put(t, store, "c2", viewOf(t, map[string]string{"f": "2"}, nil, nil))
	opener := source.NewOpener(nil)
	swapped := a.DeepCopy()
	swapped.URL = other.URL
	if _, err := opener.Open(t.Context(), "apps", swapped); !errors.Is(err, source.ErrDigestMismatch) {
		t.Errorf("another artifact behind the URL: %v, want ErrDigestMismatch", err)
	}
	for name, spoil := range map[string]func(a *meta.Artifact){
		"no digest":       func(a *meta.Artifact) { a.Digest = "" },
		"an odd digest":   func(a *meta.Artifact) { a.Digest = "md5:00" },
		"no such server":  func(a *meta.Artifact) { a.URL = "http://127.0.0.1:1/x.tar.gz" },
		"no such archive": func(a *meta.Artifact) { a.URL = url + "/x.tar.gz" },
		"a malformed URL": func(a *meta.Artifact) { a.URL = "http://%zz" },
	} {
		bad := a.DeepCopy()
		spoil(bad)
		if got, err := opener.Open(t.Context(), "apps", bad); err == nil {
			t.Errorf("%s: opened %v", name, got)
		}
	}
}

func TestWhatIsOpenedTakesMemoryUntilNobodyHasIt(t *testing.T) {
	store, _ := serve(t, t.TempDir())
	a := put(t, store, "c1", viewOf(t, map[string]string{"f": strings.Repeat("x", 1<<20)}, nil, nil))
	opener := source.NewOpener(nil)
	opener.Memory = budget.New(2<<20 + 4<<10)
	if opened, err := opener.Open(t.Context(), "apps", a); err != nil || opened == nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	for { // nobody has the first one any more
		_, err := opener.Open(ctx, "apps", a)
		if err == nil {
			break
		}
		if !errors.Is(err, budget.ErrExhausted) || ctx.Err() != nil {
			t.Fatal(err)
		}
		runtime.GC()
	}
	opener.Memory = budget.New(4<<20 + 4<<10)
	forged := a.DeepCopy()
	forged.Path = "gitrepository/victim/app/x.tar.gz"
	all, err := opener.Memory.Acquire(ctx, "victim", opener.Memory.NamespaceLimit())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := opener.Open(ctx, "attacker", forged); err != nil {
		t.Errorf("of the share of a namespace that a status names: %v", err)
	}
	all.Release()
	opener.Memory = budget.New(1 << 20)
	if _, err := opener.Open(t.Context(), "apps", a); !errors.Is(err, budget.ErrTooLarge) {
		t.Errorf("more than the share: %v", err)
	}
}
