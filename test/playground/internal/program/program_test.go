// SPDX-License-Identifier: Apache-2.0

package program

import (
	"bytes"
	"io/fs"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
)

// notes is a Progress that remembers.
type notes struct {
	mu sync.Mutex
	bytes.Buffer
}

func (n *notes) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.Buffer.Write(p)
}

func (n *notes) Update(string) {}

var hello = Program{Name: "hello", Version: "v1", Package: "./hello", Module: "go", Sources: []string{"hello"}, Takes: "a second"}

func sources(main string) fstest.MapFS {
	return fstest.MapFS{
		"go.mod":        {Data: []byte("module example.com/hello\n\ngo 1.26.0\n")},
		"go.sum":        {},
		"hello/main.go": {Data: []byte(main)},
	}
}

const helloMain = "package main\n\nfunc main() { println(\"hello\") }\n"

func TestEnsureBuildsOnceForAllCheckouts(t *testing.T) {
	dir := t.TempDir()
	var built notes
	caches := []*Cache{
		{Dir: dir, Source: sources(helloMain), Progress: &built},
		{Dir: dir, Source: sources(helloMain), Progress: &built},
	}
	paths := make([]string, len(caches))
	var wait sync.WaitGroup
	for i, c := range caches {
		wait.Go(func() {
			var err error
			if paths[i], err = c.Ensure(t.Context(), hello); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if paths[0] != paths[1] {
		t.Errorf("two checkouts have two programs: %q", paths)
	}
	if n := strings.Count(built.String(), "built hello v1"); n != 1 {
		t.Errorf("built %d times:\n%s", n, built.String())
	}
	out, err := exec.Command(paths[0]).CombinedOutput()
	if string(out) != "hello\n" {
		t.Errorf("it says %q, %v", out, err)
	}
}

func TestEnsureSaysWhyABuildFailed(t *testing.T) {
	c := &Cache{Dir: t.TempDir(), Source: sources("package main\n\nfunc main() { nonsense() }\n"), Progress: &notes{}}
	_, err := c.Ensure(t.Context(), hello)
	if err == nil || !strings.Contains(err.Error(), "undefined: nonsense") {
		t.Errorf("got %v, want the compiler's complaint", err)
	}
}

func TestKeyHoldsAllThatTheBuildDependsOn(t *testing.T) {
	base := mustKey(t, hello, sources(helloMain))
	other := sources(helloMain)
	other["go.sum"] = &fstest.MapFile{Data: []byte("changed")}
	tagged := hello
	tagged.Tags = "other"
	for name, key := range map[string]string{
		"the main package": mustKey(t, hello, sources("package main\n")),
		"a dependency":     mustKey(t, hello, other),
		"the tags":         mustKey(t, tagged, sources(helloMain)),
	} {
		if key == base {
			t.Errorf("changing %s does not change the key", name)
		}
	}
	if again := mustKey(t, hello, sources(helloMain)); again != base {
		t.Errorf("the key of the same sources differs: %s and %s", base, again)
	}
}

func mustKey(t *testing.T, p Program, source fs.FS) string {
	t.Helper()
	key, err := p.key(source)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
