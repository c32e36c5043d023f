// SPDX-License-Identifier: Apache-2.0

package gitserver

import (
	"fmt"
	"path"
	"path/filepath"
	"strings"
)

// command is what a Git client asks an SSH server to run.
type command struct {
	service string // of git
	path    string // as the client wrote it, unquoted
}

// services are all that a client can ask for.
var services = map[string]string{
	"git-upload-pack":    "upload-pack",
	"git-receive-pack":   "receive-pack",
	"git-upload-archive": "upload-archive",
}

// parseCommand reads a line like git-upload-pack '/x.git'. Git quotes the path
// for a shell: in single quotes, with ' and ! outside of them after a
// backslash.
func parseCommand(line string) (command, error) {
	name, quoted, _ := strings.Cut(line, " ")
	service, ok := services[name]
	if !ok {
		return command{}, fmt.Errorf("%q is no service of git", name)
	}
	path, err := unquote(quoted)
	if err != nil {
		return command{}, fmt.Errorf("reading the path in %q: %w", line, err)
	}
	return command{service, path}, nil
}

func unquote(quoted string) (string, error) {
	var plain strings.Builder
	inside, escaped := false, false
	for _, c := range []byte(quoted) {
		switch {
		case escaped:
			plain.WriteByte(c)
			escaped = false
		case c == '\'':
			inside = !inside
		case c == '\\' && !inside:
			escaped = true
		case !inside:
			return "", fmt.Errorf("%q is not quoted", c)
		default:
			plain.WriteByte(c)
		}
	}
	if inside || escaped {
		return "", fmt.Errorf("a quote does not end")
	}
	return plain.String(), nil
}

// in is the repository's folder, which is below root whatever the client
// wrote.
func (c command) in(root string) string {
	return filepath.Join(root, filepath.FromSlash(path.Clean("/"+c.path)))
}
