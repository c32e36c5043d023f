// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// switchSource is the file that is added to the package: what chooses the mutant.
//
//go:embed switch.go.txt
var switchSource string

var compileError = regexp.MustCompile(`(?m)^(\S+?\.go):(\d+):\d+: `)

// compile builds the test binary of the package with all its mutants, and returns its path, or
// "" if the package has no tests. A line whose mutants do not compile loses them: which types a
// generic function infers, for example, is not foreseen here.
func compile(ctx context.Context, p *pkg, dir string) (string, error) {
	bad := map[string]bool{}
	for range 5 {
		overlay, err := p.writeOverlay(dir)
		if err != nil {
			return "", err
		}
		binary := filepath.Join(dir, "package.test")
		build := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-gcflags=-e", "-overlay", overlay, "-o", binary, p.path)
		build.Dir = p.module
		out, err := build.CombinedOutput()
		if err == nil {
			if _, err := os.Stat(binary); err != nil {
				return "", nil // without tests, go writes no binary
			}
			return binary, nil
		}
		before := len(bad)
		for _, found := range compileError.FindAllSubmatch(out, -1) {
			bad[filepath.Base(string(found[1]))+":"+string(found[2])] = true
		}
		if len(bad) == before || ctx.Err() != nil {
			return "", fmt.Errorf("compiling: %w: %s", err, out)
		}
		p.drop(bad)
	}
	return "", fmt.Errorf("compiling: too many mutants of %s are no Go", p.path)
}

// drop takes the mutants out that changed these lines (file:line).
func (p *pkg) drop(lines map[string]bool) {
	for _, f := range p.files {
		for _, e := range f.edits {
			line := 1 + bytes.Count(f.source[:e.at], []byte("\n"))
			if lines[baseName(f.path)+":"+strconv.Itoa(line)] {
				p.mutants[e.id].Outcome = invalid
			}
		}
		f.edits = slices.DeleteFunc(f.edits, func(e edit) bool { return p.mutants[e.id].Outcome == invalid })
	}
}

// writeOverlay writes the files with the mutants, and returns the path of the list that says to
// the go command which file each replaces.
func (p *pkg) writeOverlay(dir string) (string, error) {
	source := strings.Replace(switchSource, "package mutant__", "package "+p.name, 1)
	source = strings.Replace(source, "mutant__count", strconv.Itoa(len(p.mutants)), 1)
	changed := map[string][]byte{filepath.Join(p.dir, "mutant__switch.go"): []byte(source)}
	for _, f := range p.files {
		if len(f.edits) > 0 {
			changed[f.path] = f.edits.apply(f.source)
		}
	}
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for path, content := range changed {
		overlay.Replace[path] = filepath.Join(dir, filepath.Base(path))
		if err := os.WriteFile(overlay.Replace[path], content, 0o600); err != nil {
			return "", err
		}
	}
	list, err := json.Marshal(overlay)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, list, 0o600)
}
