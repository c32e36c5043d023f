// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"fmt"
	"io/fs"
	"strings"

	generatorv1 "github.com/fluxcd/source-watcher/api/v2/v1beta1"
)

// memory is contents whose hashes are what they hold; a tarball holds lines of path=content.
type memory struct{}

func (memory) Read(hash string, most int64) ([]byte, error) {
	if int64(len(hash)) > most {
		return nil, fmt.Errorf("%w: too long", ErrContent)
	}
	return []byte(hash), nil
}

func (memory) Keep(data []byte) (string, error) { return string(data), nil }

func (memory) Unpack(hash string) (Files, error) {
	files := Files{}
	for line := range strings.Lines(hash) {
		name, content, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok {
			return nil, fmt.Errorf("%w: no tarball", ErrContent)
		}
		files[name] = File{Hash: content}
	}
	return files, nil
}

// listing lists files by path and content. A path that ends in * is executable.
func listing(files map[string]string) *Listing {
	all := Files{}
	for name, content := range files {
		if !fs.ValidPath(name) {
			panic(name)
		}
		plain, executable := strings.CutSuffix(name, "*")
		all[plain] = File{Executable: executable, Hash: content}
	}
	return NewListing(all)
}

// contents are what is in files, as listing takes them.
func contents(files Files) map[string]string {
	all := map[string]string{}
	for name, file := range files {
		if file.Executable {
			name += "*"
		}
		all[name] = file.Hash
	}
	return all
}

func from(from, to string, exclude ...string) generatorv1.CopyOperation {
	return generatorv1.CopyOperation{From: from, To: to, Exclude: exclude}
}

func with(strategy string, op generatorv1.CopyOperation) generatorv1.CopyOperation {
	op.Strategy = strategy
	return op
}
