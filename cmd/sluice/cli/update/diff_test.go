// SPDX-License-Identifier: Apache-2.0

package update

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-cd/sluice/test/command"
)

// TestDiffIsWhatGitApplies changes lines of a file here and there and lets Git
// apply the diff.
func TestDiffIsWhatGitApplies(t *testing.T) {
	numbers := strings.Split("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20", " ")
	tests := map[string]struct {
		changed []int
		end     string
	}{
		"the first line":                    {[]int{0}, "\n"},
		"the last line":                     {[]int{19}, "\n"},
		"a last line that does not end":     {[]int{19}, ""},
		"another line of such a file":       {[]int{17}, ""},
		"neighbours":                        {[]int{5, 6, 7}, "\n"},
		"lines that share their context":    {[]int{3, 10}, "\n"},
		"lines whose contexts touch":        {[]int{3, 9}, "\n"},
		"lines that are just too far apart": {[]int{3, 11}, "\n"},
		"lines far apart":                   {[]int{0, 10, 19}, "\n"},
		"all of them":                       {[]int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19}, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			edited := append([]string{}, numbers...)
			for _, i := range tc.changed {
				edited[i] = "new " + edited[i]
			}
			before, after := strings.Join(numbers, "\n")+tc.end, strings.Join(edited, "\n")+tc.end
			dir := command.Folder(t, map[string]string{"f": before, "patch": unifiedDiff("f", []byte(before), []byte(after))})
			apply := exec.CommandContext(t.Context(), "git", "apply", "patch")
			apply.Dir = dir
			apply.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir))
			if said, err := apply.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s\n%s", err, said, command.Read(t, filepath.Join(dir, "patch")))
			}
			same(t, "file", command.Read(t, filepath.Join(dir, "f")), after)
		})
	}
}
