// SPDX-License-Identifier: Apache-2.0

package arch

import (
	"bytes"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// entry is a line of the tree in CONTRIBUTING.md: a folder, and what it is for.
var entry = regexp.MustCompile(`(?m)^([a-z][a-z0-9/]*) {1,}\S`)

func TestTheTreeInContributingIsTheTree(t *testing.T) {
	named := tree(t)
	for dir := range named {
		if _, err := os.Stat(filepath.Join("..", "..", filepath.FromSlash(dir))); err != nil {
			t.Errorf("CONTRIBUTING.md names %s, which is not there", dir)
		}
	}
	for file := range sources(t) {
		dir := filepath.ToSlash(filepath.Dir(file))
		if !covered(named, dir) {
			t.Errorf("CONTRIBUTING.md does not say what %s is for", dir)
		}
	}
}

// covered reports whether a folder, or the next above it, is in the tree. Below these
// every folder is named by itself; elsewhere a line speaks for all below it.
func covered(named map[string]bool, dir string) bool {
	switch {
	case named[dir]:
		return true
	case path.Dir(dir) == "internal", path.Dir(dir) == "canary", path.Dir(dir) == "apply", path.Dir(dir) == ".":
		return false
	}
	return covered(named, path.Dir(dir))
}

// tree are the folders that the first block of CONTRIBUTING.md names.
func tree(t *testing.T) map[string]bool {
	t.Helper()
	text, err := fs.ReadFile(os.DirFS(filepath.Join("..", "..")), "CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "```\n")
	block, _, end := strings.Cut(rest, "\n```\n")
	if !ok || !end {
		t.Fatal("CONTRIBUTING.md has no block with the tree")
	}
	named := map[string]bool{}
	for _, m := range entry.FindAllStringSubmatch(block+"\n", -1) {
		named[m[1]] = true
	}
	if len(named) == 0 {
		t.Fatal("the block with the tree names nothing")
	}
	return named
}

// named is how docs name a test that holds what they say.
var named = regexp.MustCompile("`(Test[A-Za-z0-9]+)`")

func TestTheTestsThatDocsNameAreThere(t *testing.T) {
	root := filepath.Join("..", "..")
	tests := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	walk(t, root, "_test.go", func(_ string, text []byte) {
		for _, m := range declared.FindAllSubmatch(text, -1) {
			tests[string(m[1])] = true
		}
	})
	inComment := regexp.MustCompile(`//.*\b(Test[A-Z]\w{5,})\b`)
	walk(t, root, ".go", func(file string, text []byte) {
		if strings.Contains(file, "testdata") || strings.Contains(file, "test/playground/") {
			return
		}
		for _, m := range inComment.FindAllSubmatch(text, -1) {
			if !tests[string(m[1])] {
				t.Errorf("a comment of %s names %s, which is not there", file, m[1])
			}
		}
	})
	walk(t, filepath.Join(root, "docs"), ".md", func(file string, text []byte) {
		for _, m := range named.FindAllSubmatch(text, -1) {
			if !tests[string(m[1])] {
				t.Errorf("%s names %s, which is not there", file, m[1])
			}
		}
	})
}

// How docs name a file or folder, maybe with a name of its code as in canary/workload.Manager,
// and a name in a file.
var (
	pathInDocs = regexp.MustCompile("`([a-z]\\w*/[\\w./*-]*\\w)/?`")
	nameInFile = regexp.MustCompile("`(\\w+)` (?:of|in) `([\\w./-]+\\.go)`")
	exported   = regexp.MustCompile(`\.[A-Z]\w*$`)
)

func TestTheFilesThatContributorsAreSentToAreThere(t *testing.T) {
	root := filepath.Join("..", "..")
	for _, page := range []string{"CONTRIBUTING.md", "docs/architecture.md"} {
		text, err := os.ReadFile(filepath.Join(root, page))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range pathInDocs.FindAllStringSubmatch(string(text), -1) {
			top, _, _ := strings.Cut(m[1], "/")
			if _, err := os.Stat(filepath.Join(root, top)); err != nil {
				continue // an annotation, an image
			}
			found, err := filepath.Glob(filepath.Join(root, exported.ReplaceAllString(m[1], "")))
			if err != nil || len(found) == 0 {
				t.Errorf("%s names %s, which is not there", page, m[1])
			}
		}
		for _, m := range nameInFile.FindAllStringSubmatch(string(text), -1) {
			code, _ := os.ReadFile(filepath.Join(root, m[2])) // that it is there is seen to above
			if !regexp.MustCompile(`\b` + m[1] + `\b`).Match(code) {
				t.Errorf("%s names %s of %s, which has no such name", page, m[1], m[2])
			}
		}
	}
}

// walk reads the files below a folder that end in suffix.
func walk(t *testing.T, root, suffix string, read func(file string, text []byte)) {
	t.Helper()
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && file != root:
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(file, suffix):
			return nil
		}
		text, err := os.ReadFile(file)
		if err == nil {
			read(file, text)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The programs that the playground compiles are left out: they are cached by a digest of their
// sources, and a line more has everybody build Kubernetes again.
func TestEveryFileSaysItsLicense(t *testing.T) {
	const license = "SPDX-License-Identifier: Apache-2.0"
	without := []string{"testdata", "test/playground/kube/", "test/playground/node/", "test/playground/pause/", "node_modules", "ui/dist/"}
	for _, ending := range []string{".go", ".sh", ".ts", ".tsx", ".css"} {
		walk(t, filepath.Join("..", ".."), ending, func(file string, text []byte) {
			if slices.ContainsFunc(without, func(part string) bool { return strings.Contains(filepath.ToSlash(file), part) }) {
				return
			}
			if head := string(text[:min(len(text), 200)]); !strings.Contains(head, license) {
				t.Errorf("%s does not say %s at its beginning", file, license)
			}
		})
	}
}

// Lint bounds the other files; tests of one subject may be longer than what they test.
func TestNoFileOfTestsIsTooLong(t *testing.T) {
	const maxLines = 600
	walk(t, filepath.Join("..", ".."), "_test.go", func(file string, text []byte) {
		if lines := bytes.Count(text, []byte("\n")); lines > maxLines {
			t.Errorf("%s has %d lines: above %d, split it by what it tests", file, lines, maxLines)
		}
	})
}

// A reason is a constant, where a reader finds what it means.
func TestReasonsAreConstants(t *testing.T) {
	literal := regexp.MustCompile(`\bReason:\s+"[A-Z][A-Za-z]+"`)
	for _, root := range []string{"cmd", "controllers", "internal", "source", "promotion", "canary", "notify", "apply", "ui", "writeback"} {
		walk(t, filepath.Join("..", "..", root), ".go", func(file string, text []byte) {
			if found := literal.Find(text); found != nil && !strings.HasSuffix(file, "_test.go") && !strings.Contains(file, "test/") {
				t.Errorf("%s has %s: name it, as CONTRIBUTING says (A reason)", file, found)
			}
		})
	}
}

// What is written to a status in the midst of a reconcile is in a table of the architecture page: a reader who asks what
// survives a kill looks there.
func TestCheckpointsAreOnTheArchitecturePage(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	walk(t, filepath.Join("..", "..", "controllers"), ".go", func(file string, text []byte) {
		name := filepath.ToSlash(strings.TrimPrefix(file, filepath.Join("..", "..")+string(filepath.Separator)))
		writes := strings.Contains(string(text), "reconciler.Checkpoint(") && !strings.HasSuffix(file, "_test.go")
		if writes && !strings.Contains(string(page), name) {
			t.Errorf("docs/architecture.md does not say what %s writes before the end of a reconcile", name)
		}
	})
}
