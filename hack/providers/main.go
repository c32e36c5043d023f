// SPDX-License-Identifier: Apache-2.0

// Command providers writes what follows from the table of package provider into files that cannot read it: which names
// the API server accepts as spec.provider of a Canary, which fields it refuses beside them, and which objects the
// controller may write.
//
//	go run ./hack/providers
//
// Each place is what is between two lines, and all else of the files stays:
//
//	+sluice:providers=names
//	+sluice:end
//
// They begin with a plus, so that controller-gen takes them for markers that are not its own, and not for text of a CRD.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// place is one that is written.
type place struct {
	file, name string
	// lines are what belongs there, without the indentation of the line that opens it.
	lines func() []string
}

var places = []place{
	{"api/flagger/v1beta1/canary.go", "rules", rules},
	{"api/flagger/v1beta1/canary.go", "names", names},
	{"config/rbac/canary.yaml", "kinds", rights},
}

func main() {
	root := flag.String("root", ".", "the tree whose files are written")
	flag.Parse()
	if err := run(*root); err != nil {
		fmt.Fprintln(os.Stderr, "providers:", err)
		os.Exit(1)
	}
}

func run(root string) error {
	for _, p := range places {
		path := filepath.Join(root, p.file)
		before, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		after, err := p.written(string(before))
		if err != nil {
			return fmt.Errorf("%s: %w", p.file, err)
		}
		if after == string(before) {
			continue
		}
		if err := os.WriteFile(path, []byte(after), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// written is a text with what belongs into the place.
func (p place) written(text string) (string, error) {
	const end = "+sluice:end"
	var out strings.Builder
	open, found := false, false
	for line := range strings.Lines(text) {
		switch trimmed := strings.TrimLeft(line, "\t "); {
		case strings.HasSuffix(trimmed, " +sluice:providers="+p.name+"\n"):
			open, found = true, true
			out.WriteString(line)
			for _, one := range p.lines() {
				out.WriteString(strings.TrimSuffix(line, trimmed) + one + "\n")
			}
		case open && !strings.HasSuffix(line, " "+end+"\n"):
		default:
			open = false
			out.WriteString(line)
		}
	}
	if !found || open {
		return "", fmt.Errorf("there is no place from +sluice:providers=%s to %s", p.name, end)
	}
	return out.String(), nil
}
