// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"strings"
	"testing"
)

// An archive of empty files with long paths made a hundred million directories that nobody had counted.
func TestDirectoriesOfAnArchiveCount(t *testing.T) {
	var packed bytes.Buffer
	zipped := gzip.NewWriter(&packed)
	archive := tar.NewWriter(zipped)
	for _, name := range []string{strings.Repeat("d/", 1000) + "a", strings.Repeat("d/", 1000) + "b"} {
		if err := archive.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	var grown int64
	_, err := FromTar(&packed, Limits{Grow: func(bytes int64) error { grown += bytes; return nil }})
	if nodes := grown / nodeBytes; err != nil || nodes < 1002 || nodes > 1100 {
		t.Errorf("memory for %d files and directories, %v", nodes, err)
	}
}
