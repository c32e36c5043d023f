// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/sluice-cd/sluice/internal/bounded"
)

// What symbolic links may lead to, in all: one to the top of a disk is a mistake.
const (
	maxResolved      = 1 << 30
	maxResolvedFiles = 200_000
)

var errResolvedTooLarge = fmt.Errorf("it has more than %d GiB or %d files; where do its symbolic links lead?",
	maxResolved>>30, maxResolvedFiles)

// resolver copies files, and for symbolic links what they lead to.
type resolver struct {
	bytes int64
	files int
	above map[string]bool // on the way from the root: one of them again would have no end
	// leftOut is a file that is not copied.
	leftOut string
}

// dir copies a directory into another one, which is there.
func (r *resolver) dir(from, to string) error {
	is, err := filepath.EvalSymlinks(from)
	if err != nil {
		return err
	}
	if r.above[is] {
		return nil
	}
	r.above[is] = true
	defer delete(r.above, is)
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		source, target := filepath.Join(from, entry.Name()), filepath.Join(to, entry.Name())
		if source == r.leftOut {
			continue
		}
		info, err := os.Stat(source)
		switch {
		case err != nil:
			return err
		case info.IsDir():
			err = r.below(source, target, info.Mode())
		case info.Mode().IsRegular():
			err = r.file(source, target, info)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *resolver) below(from, to string, mode os.FileMode) error {
	if r.files--; r.files < 0 {
		return errResolvedTooLarge
	}
	if err := os.Mkdir(to, mode.Perm()|0o700); err != nil {
		return err
	}
	return r.dir(from, to)
}

// file copies one, with its permissions.
func (r *resolver) file(from, to string, info os.FileInfo) error {
	if r.files--; r.files < 0 {
		return errResolvedTooLarge
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm())
	if err != nil {
		return err
	}
	n, err := io.Copy(out, bounded.Reader(in, r.bytes, errResolvedTooLarge))
	r.bytes -= n
	return errors.Join(err, out.Close())
}
