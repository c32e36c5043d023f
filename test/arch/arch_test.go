// SPDX-License-Identifier: Apache-2.0

// Package arch holds the tree to its shape: imports point downwards only, never
// sideways inside a row, and the pure packages import nothing that does I/O.
//
//	cmd/sluice
//	cmd/sluice/app  cmd/sluice/cli/*                  a command imports no controller
//	cmd/sluice/cli/follow
//	cmd/sluice/cli/{cluster,manifest,markers,usage}   what commands share
//	cmd/sluice/cli/output
//	controllers/*  ui
//	scan writeback source apply notify promotion/{forge,cluster} canary/{router,metric,workload,hook}  report (pure)
//	policy writeback/edit source/generator apply/{decide,remoteref} canary canary/judge/replay promotion notify/message   (pure)
//	canary/{judge/trial,judge/simulate,provider,object}  apply/inventory  promotion/pullrequest    (pure)
//	api/*  internal/*  canary/{judge,judge/counter}    of which canary/judge and internal/{contention,mask,
//	partition,pattern,resourceversion,shorten} are pure: a pure package imports no other
//
// canary/{judge/*,provider,object} are rows of their own, the floor of canary: canary and its
// I/O leaves read what a provider can do and edit objects alike, and may not import one
// another.
//
// The imports are read with go/parser: asking the go command instead can be
// answered from its test cache, which then passes over a real violation.
package arch

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/sluice-cd/sluice/"

// rows place packages: a package may import only rows below its own, and
// itself. The longest prefix wins.
var rows = []struct {
	prefix string
	row    int
	pure   bool
}{
	{"cmd/sluice", 9, false},
	{"cmd/sluice/app", 8, false},
	{"cmd/sluice/cli/", 8, false},
	{"cmd/sluice/cli/cluster", 6, false},
	{"cmd/sluice/cli/follow", 7, false},
	{"cmd/sluice/cli/manifest", 6, false},
	{"cmd/sluice/cli/markers", 6, false},
	{"cmd/sluice/cli/usage", 6, false},
	{"cmd/sluice/cli/output", 5, false},
	{"controllers/", 4, false},
	{"ui", 4, false},
	{"scan", 3, false},
	{"writeback", 3, false},
	{"source", 3, false},
	{"source/generator", 2, true},
	{"apply", 3, false},
	{"notify", 3, false},
	{"notify/message", 2, true},
	{"canary/router", 3, false},
	{"canary/metric", 3, false},
	{"canary/hook", 3, false},
	{"canary/workload", 3, false},
	{"report", 3, true},
	{"policy", 2, true},
	{"writeback/edit", 2, true},
	{"apply/decide", 2, true},
	{"apply/remoteref", 2, true},
	{"canary", 2, true},
	{"canary/judge", 0, true},
	{"canary/judge/counter", 0, true},
	{"canary/judge/trial", 1, true},
	{"canary/judge/simulate", 1, true},
	{"canary/judge/replay", 2, true},
	{"promotion", 2, true},
	{"promotion/pullrequest", 1, true},
	{"promotion/forge", 3, false},
	{"promotion/cluster", 3, false},
	{"canary/provider", 1, true},
	{"apply/inventory", 1, true},
	{"canary/object", 1, true},
	{"api/", 0, false},
	{"internal/", 0, false},
	{"internal/contention", 0, true},
	{"internal/mask", 0, true},
	{"internal/partition", 0, true},
	{"internal/pattern", 0, true},
	{"internal/resourceversion", 0, true},
	{"internal/shorten", 0, true},
}

// impure are imports that a pure package may not have.
var impure = []string{
	"os", "net", "net/http", "io/fs", "context", "log", "log/slog", "sync",
	"sigs.k8s.io/controller-runtime", "k8s.io/client-go", "k8s.io/utils/clock",
	"github.com/go-git/go-git", "github.com/go-logr",
}

func TestImportsPointDownwards(t *testing.T) {
	for file, imports := range sources(t) {
		dir := filepath.ToSlash(filepath.Dir(file))
		at, ok := place(dir)
		if !ok {
			if !strings.HasPrefix(dir, "test") && !strings.HasPrefix(dir, "hack") {
				t.Errorf("%s: no row for this package: give it one in test/arch", file)
			}
			continue
		}
		for _, path := range imports {
			if local, ok := strings.CutPrefix(path, module); ok {
				checkLocal(t, file, dir, at, local)
			} else if rows[at].pure {
				checkPure(t, file, path)
			}
		}
	}
}

func checkLocal(t *testing.T, file, dir string, at int, local string) {
	t.Helper()
	if strings.HasPrefix(local, "test/") {
		t.Errorf("%s imports %s: only tests may import test/", file, local)
		return
	}
	if strings.HasPrefix(dir, "cmd/sluice/cli/") && strings.HasPrefix(local, "controllers/") {
		t.Errorf("%s imports %s: commands read objects, and leave controllers to cmd/sluice/app", file, local)
	}
	to, ok := place(local)
	switch {
	case !ok:
		t.Errorf("%s imports %s, which has no row", file, local)
	case rows[at].pure && !rows[to].pure && !strings.HasPrefix(local, "api/"):
		t.Errorf("%s is pure and imports %s, which is not", file, local)
	case rows[to].row < rows[at].row, rows[at].row == 0 && rows[to].row == 0:
	case unit(dir) == unit(local):
	default:
		t.Errorf("%s imports %s: imports point downwards only", file, local)
	}
}

func checkPure(t *testing.T, file, path string) {
	t.Helper()
	if path == "net/url" || path == "net/textproto" {
		return // they parse and spell, and connect to nothing
	}
	for _, bad := range impure {
		if path == bad || strings.HasPrefix(path, bad+"/") {
			t.Errorf("%s is pure and imports %s", file, path)
		}
	}
}

// unit is the piece inside which packages may import one another: a controller,
// or an I/O leaf with its subpackages.
func unit(dir string) string {
	at, ok := place(dir)
	if !ok {
		return dir
	}
	prefix := rows[at].prefix
	if !strings.HasSuffix(prefix, "/") {
		return prefix
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(dir, prefix), "/")
	return prefix + name
}

// place returns the index of the most specific row of a package directory.
func place(dir string) (int, bool) {
	best := -1
	for i, r := range rows {
		match := dir == r.prefix || strings.HasPrefix(dir+"/", strings.TrimSuffix(r.prefix, "/")+"/")
		if match && (best < 0 || len(r.prefix) > len(rows[best].prefix)) {
			best = i
		}
	}
	return best, best >= 0
}

// sources returns the imports of every Go file that is not a test, by path from
// the module's root.
func sources(t *testing.T) map[string][]string {
	t.Helper()
	root := filepath.Join("..", "..")
	found := map[string][]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, path)
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && name != "." || name == filepath.Join("test", "playground")) {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		found[name] = nil // a file without imports may still be the one with the package comment
		for _, spec := range parsed.Imports {
			found[name] = append(found[name], strings.Trim(spec.Path.Value, `"`))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Fatal("no sources found")
	}
	return found
}

func TestEveryPackageTeaches(t *testing.T) {
	documented := map[string]bool{}
	root := filepath.Join("..", "..")
	for file := range sources(t) {
		dir := filepath.Dir(file)
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, file), nil, parser.ParseComments|parser.PackageClauseOnly)
		if err != nil {
			t.Fatal(err)
		}
		documented[dir] = documented[dir] || parsed.Doc != nil
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("%s has no package comment", dir)
		}
	}
}
