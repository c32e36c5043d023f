// SPDX-License-Identifier: Apache-2.0

// Package golden compares what a test got with a file. With -update the file is
// written instead, to be read and committed:
//
//	go test ./canary/router -update
package golden

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// CompareBlock is [Compare] for what is between two lines of a file, of which all else stays:
//
//	<!-- NAME: -update rewrites it -->
//	<!-- end -->
//
// The first may say more behind "it".
func CompareBlock(tb testing.TB, path, name, got string) {
	tb.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	before, rest, opens := strings.Cut(string(text), "<!-- "+name+": -update rewrites it")
	first, rest, ends := strings.Cut(rest, "\n")
	_, after, closed := strings.Cut(rest, "<!-- end -->")
	if !opens || !ends || !closed {
		tb.Fatalf("%s has no block %s", path, name)
	}
	Compare(tb, path, before+"<!-- "+name+": -update rewrites it"+first+"\n"+got+"<!-- end -->"+after)
}

// Compare fails the test if got is not what the file at path holds. The path is
// relative to the folder of the test's package.
func Compare[T string | []byte](tb testing.TB, path string, got T) {
	tb.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			tb.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		tb.Errorf("%s (-want +got, -update writes it):\n%s", path, diff)
	}
}
