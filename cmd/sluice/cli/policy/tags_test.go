// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

// TestTagsOfAFileThatWindowsWrote has what editors and PowerShell put around tags.
func TestTagsOfAFileThatWindowsWrote(t *testing.T) {
	tests := map[string]struct {
		in   string
		want []string
		err  string
	}{
		"a byte order mark":       {in: "\uFEFF1.0.0\r\n1.1.0\r\n", want: []string{"1.0.0", "1.1.0"}},
		"a mark before a comment": {in: "\uFEFF# all\n1.0.0\n", want: []string{"1.0.0"}},
		"UTF-16":                  {in: "\xFF\xFE1\x00.\x000\x00\r\x00\n\x00", err: "save it as UTF-8"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			cmd := &cobra.Command{}
			cmd.SetIn(strings.NewReader(tc.in))
			got, err := readTags(cmd, "-")
			if (err != nil) != (tc.err != "") || err != nil && !strings.Contains(err.Error(), tc.err) {
				t.Errorf("got %v, want %q", err, tc.err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
