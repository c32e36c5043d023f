// SPDX-License-Identifier: Apache-2.0

package git

import (
	"errors"
	"strings"
	"testing"
)

func TestNamesThatNoRepositoryCanHaveAreInvalid(t *testing.T) {
	for name, tc := range map[string]struct {
		ref  Reference
		want string // the field; empty is valid
	}{
		"nothing":                     {Reference{}, ""},
		"a branch with slashes":       {Reference{Branch: "release/1.x"}, ""},
		"a full name":                 {Reference{Name: "refs/pull/420/head"}, ""},
		"HEAD":                        {Reference{Name: "HEAD"}, ""},
		"a branch with a blank":       {Reference{Branch: "a b"}, "branch"},
		"a branch with two dots":      {Reference{Branch: "a..b"}, "branch"},
		"a branch that ends in .lock": {Reference{Branch: "a.lock"}, "branch"},
		"a tag with a colon":          {Reference{Tag: "v1:2"}, "tag"},
		"a branch that begins with -": {Reference{Branch: "-x"}, "branch"},
		"a name with a caret":         {Reference{Name: "refs/heads/a^"}, "name"},
		"a line break":                {Reference{Branch: "a\nb"}, "branch"},
	} {
		err := tc.ref.Validate()
		if tc.want == "" && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if tc.want != "" && (!errors.Is(err, ErrInvalidReference) || !strings.Contains(err.Error(), tc.want+" ")) {
			t.Errorf("%s: got %v, want an error of %s", name, err, tc.want)
		}
	}
}
