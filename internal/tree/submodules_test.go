// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"
)

func TestWithSubmodules(t *testing.T) {
	strings := func(files map[string]string) *Memory {
		made, err := FromStrings(files)
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	super, err := New(map[string]Content{"a": {Data: []byte("a")}, "vendor/lib": {Mode: Submodule}, "vendor/other": {Mode: Submodule}})
	if err != nil {
		t.Fatal(err)
	}
	lib, deep := strings(map[string]string{"dir/file": "lib"}), strings(map[string]string{"file": "deep"})
	all := WithSubmodules(super, map[string]Tree{"vendor/lib": lib, "vendor/lib/dir/deep": deep})
	for name, want := range map[string]string{"a": "a", "vendor/lib/dir/file": "lib", "./vendor/lib/dir/deep/file": "deep"} {
		data, err := all.ReadFile(name)
		e, statErr := all.Stat(name)
		hash, hashErr := all.Hash(name)
		if err != nil || statErr != nil || hashErr != nil || string(data) != want || !e.Mode.IsFile() || hash != e.Hash {
			t.Errorf("%s is %q, %+v, %v, %v, %v", name, data, e, err, statErr, hashErr)
		}
	}
	for name, want := range map[string]string{
		".": "[a vendor]", "vendor": "[lib other]", "vendor/lib": "[dir]", "vendor/lib/dir/deep": "[file]",
	} {
		entries, err := all.ReadDir(name)
		var names []string
		for _, e := range entries {
			names = append(names, e.Name)
			if submodule := e.Mode == Submodule; submodule != (e.Name == "other") {
				t.Errorf("%s/%s has the mode %o", name, e.Name, e.Mode)
			}
		}
		if err != nil || fmt.Sprint(names) != want {
			t.Errorf("%s has %v, %v", name, names, err)
		}
	}
	if e, err := all.Stat("vendor/lib"); err != nil || e.Mode != Dir || e.Name != "lib" {
		t.Errorf("a submodule is %+v, %v", e, err)
	}
	if _, err := all.ReadFile("vendor/lib"); !errors.Is(err, ErrIsDir) {
		t.Errorf("a submodule as a file: %v", err)
	}
	if _, err := all.ReadFile("vendor/lib/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if _, err := all.ReadFile("../a"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("a path out of the tree: %v", err)
	}
}
