// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"errors"
	"strings"
	"testing"

	generatorv1 "github.com/fluxcd/source-watcher/api/v2/v1beta1"
	"github.com/google/go-cmp/cmp"
)

var fleet = map[string]string{
	"README.md": "readme", "run.sh*": "#!",
	"deploy/app.yaml": "a: 1\n", "deploy/db.yaml": "b", "deploy/docs/notes.md": "n", "deploy/docs/deep/x.yaml": "x",
	"apps/shop/base/k.yaml": "shop", "apps/blog/base/k.yaml": "blog",
	"values.yaml": "a: 2\nl: [3]\n", "list.yaml": "- 1\n",
	"charts/one.tgz": "one/Chart.yaml=c1\none/values.yaml=v1", "charts/sub/two.tar.gz": "two/Chart.yaml=c2", "charts/note.txt": "t",
}

func TestCopies(t *testing.T) {
	merge, extract := generatorv1.MergeStrategy, generatorv1.ExtractStrategy
	tests := map[string]struct {
		copies []generatorv1.CopyOperation
		want   map[string]string
	}{
		"a file to a path": {
			[]generatorv1.CopyOperation{from("@s/values.yaml", "@artifact/x/v.yaml")},
			map[string]string{"x/v.yaml": fleet["values.yaml"]},
		},
		"a file into a directory": {
			[]generatorv1.CopyOperation{from("@s/values.yaml", "@artifact/x/")},
			map[string]string{"x/values.yaml": fleet["values.yaml"]},
		},
		"a file into the root":        {[]generatorv1.CopyOperation{from("@s/run.sh", "@artifact/")}, map[string]string{"run.sh*": "#!"}},
		"a file to the root by a dot": {[]generatorv1.CopyOperation{from("@s/run.sh", "@artifact/.")}, map[string]string{"run.sh*": "#!"}},
		"a file to what is a directory already": {
			[]generatorv1.CopyOperation{from("@s/README.md", "@artifact/x/"), from("@s/run.sh", "@artifact/x")},
			map[string]string{"x/README.md": "readme", "x/run.sh*": "#!"},
		},
		"a later file replaces an earlier one": {
			[]generatorv1.CopyOperation{from("@s/README.md", "@artifact/x"), from("@s/run.sh", "@artifact/x")},
			map[string]string{"x*": "#!"},
		},
		"a directory shows as one": {[]generatorv1.CopyOperation{from("@s/apps", "@artifact/to")}, map[string]string{
			"to/apps/shop/base/k.yaml": "shop", "to/apps/blog/base/k.yaml": "blog",
		}},
		"a directory with a slash, too": {[]generatorv1.CopyOperation{from("@s/apps/shop/", "@artifact/to/")}, map[string]string{
			"to/shop/base/k.yaml": "shop",
		}},
		"all of a source": {[]generatorv1.CopyOperation{from("@t/", "@artifact/all/")}, map[string]string{"all/only.yaml": "o"}},
		"what is in a directory": {[]generatorv1.CopyOperation{from("@s/apps/**", "@artifact/")}, map[string]string{
			"shop/base/k.yaml": "shop", "blog/base/k.yaml": "blog",
		}},
		"files by a pattern keep their path": {[]generatorv1.CopyOperation{from("@s/deploy/*.yaml", "@artifact/to/")}, map[string]string{
			"to/deploy/app.yaml": "a: 1\n", "to/deploy/db.yaml": "b",
		}},
		"a pattern of directories": {[]generatorv1.CopyOperation{from("@s/apps/*/base", "@artifact/")}, map[string]string{
			"apps/shop/base/k.yaml": "shop", "apps/blog/base/k.yaml": "blog",
		}},
		"two stars in the midst are one name": {[]generatorv1.CopyOperation{from("@s/apps/**/base/k.yaml", "@artifact/")}, map[string]string{
			"apps/shop/base/k.yaml": "shop", "apps/blog/base/k.yaml": "blog",
		}},
		"without names": {[]generatorv1.CopyOperation{from("@s/deploy/**", "@artifact/", "*.md")}, map[string]string{
			"app.yaml": "a: 1\n", "db.yaml": "b", "docs/deep/x.yaml": "x",
		}},
		"without a directory, from where the copy begins": {
			[]generatorv1.CopyOperation{from("@s/deploy/**", "@artifact/", "docs/**")},
			map[string]string{"app.yaml": "a: 1\n", "db.yaml": "b"},
		},
		"without a directory, from the root of the source": {
			[]generatorv1.CopyOperation{from("@s/deploy", "@artifact/", "deploy/docs", "**/db.yaml")},
			map[string]string{"deploy/app.yaml": "a: 1\n"},
		},
		"without a single file is nothing": {[]generatorv1.CopyOperation{from("@s/README.md", "@artifact/", "*.md")}, map[string]string{}},
		"merged": {
			[]generatorv1.CopyOperation{from("@s/deploy/app.yaml", "@artifact/v.yaml"), with(merge, from("@s/values.yaml", "@artifact/v.yaml"))},
			map[string]string{"v.yaml": "a: 2\nl:\n- 3\n"},
		},
		"merged with nothing is copied": {
			[]generatorv1.CopyOperation{with(merge, from("@s/list.yaml", "@artifact/v.yaml"))}, map[string]string{"v.yaml": "- 1\n"},
		},
		"extracted": {[]generatorv1.CopyOperation{with(extract, from("@s/charts/one.tgz", "@artifact/to"))}, map[string]string{
			"to/one/Chart.yaml": "c1", "to/one/values.yaml": "v1",
		}},
		"extracted, in any directory, and nothing else": {
			[]generatorv1.CopyOperation{with(extract, from("@s/charts/**", "@artifact/"))}, map[string]string{
				"one/Chart.yaml": "c1", "one/values.yaml": "v1", "two/Chart.yaml": "c2",
			},
		},
		"extracted without some": {
			[]generatorv1.CopyOperation{with(extract, from("@s/**/*.{tgz,tar.gz}", "@artifact/", "one.*"))},
			map[string]string{"two/Chart.yaml": "c2"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			sources := map[string]*Listing{"s": listing(fleet), "t": listing(map[string]string{"only.yaml": "o"})}
			got, err := Build(tc.copies, sources, memory{}, &Work{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, contents(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCopiesThatFail(t *testing.T) {
	merge, extract := generatorv1.MergeStrategy, generatorv1.ExtractStrategy
	one := func(op generatorv1.CopyOperation) []generatorv1.CopyOperation { return []generatorv1.CopyOperation{op} }
	tests := map[string]struct {
		copies []generatorv1.CopyOperation
		is     error
		says   string
	}{
		"what is not there":       {one(from("@s/none", "@artifact/")), ErrContent, "source 's' has no 'none'"},
		"a pattern of nothing":    {one(from("@s/none/*", "@artifact/")), ErrContent, "nothing matches pattern 'none/*' in source 's'"},
		"all of it excluded":      {one(from("@s/*.md", "@artifact/", "README*")), ErrContent, "is excluded"},
		"an unknown source":       {one(from("@x/a", "@artifact/")), ErrInvalid, "source alias 'x' not found"},
		"up from the artifact":    {one(from("@s/run.sh", "@artifact/../run.sh")), ErrInvalid, "to leads out of the artifact"},
		"up and down again":       {one(from("@s/run.sh", "@artifact/a/../run.sh")), ErrInvalid, "to leads out of the artifact"},
		"an absolute destination": {one(from("@s/run.sh", "@artifact//etc/passwd")), ErrInvalid, "leads out of the root"},
		"up from the source":      {one(from("@s/../x", "@artifact/")), ErrInvalid, "leads out of the root"},
		"an absolute source":      {one(from("@s//etc/passwd", "@artifact/")), ErrInvalid, "leads out of the root"},
		"no destination":          {one(from("@s/run.sh", "artifact/")), ErrInvalid, "to is no '@artifact/path'"},
		"no source":               {one(from("run.sh", "@artifact/")), ErrInvalid, "from is no '@alias/path'"},
		"a broken pattern":        {one(from("@s/[", "@artifact/")), ErrInvalid, "invalid pattern '['"},
		"a broken exclude":        {one(from("@s/run.sh", "@artifact/", "{a")), ErrInvalid, "exclude: invalid pattern '{a'"},
		"an unknown strategy":     {one(with("Link", from("@s/run.sh", "@artifact/"))), ErrInvalid, "strategy 'Link' is unknown"},
		"a directory extracted":   {one(with(extract, from("@s/charts", "@artifact/"))), ErrContent, "'charts' is a directory"},
		"no tarball extracted":    {one(with(extract, from("@s/run.sh", "@artifact/"))), ErrContent, "end in .tar.gz or .tgz"},
		"a file over a directory": {
			append(one(from("@s/apps", "@artifact/")), from("@s/apps/*/base", "@artifact/"),
				from("@s/run.sh", "@artifact/apps/shop/x/y"), with(extract, from("@t/bad.tgz", "@artifact/"))),
			ErrContent, "is a directory of the artifact already",
		},
		"a file as a directory": {append(one(from("@s/run.sh", "@artifact/x")), from("@s/run.sh", "@artifact/x/")), ErrContent, ""},
		"what is no map, merged": {
			append(one(from("@s/values.yaml", "@artifact/v")), with(merge, from("@s/list.yaml", "@artifact/v"))),
			ErrContent, "merging into 'v'",
		},
		"what costs hours":         {one(from("@big/**", "@artifact/", strings.Repeat("**/{a,b,c}*", 80))), ErrContent, "takes too long"},
		"more than fits in a path": {one(from("@s/run.sh", "@artifact/"+strings.Repeat("a/", 2100))), ErrContent, "4096 bytes"},
	}
	big := map[string]string{}
	for i := range 20_000 {
		big[strings.Repeat("directory/", 10)+string(rune('a'+i%26))+strings.Repeat("x", i/26)] = ""
	}
	sources := map[string]*Listing{
		"s": listing(fleet), "t": listing(map[string]string{"bad.tgz": "apps/shop=x"}), "big": listing(big),
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Build(tc.copies, sources, memory{}, &Work{})
			if !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v, want %q", err, tc.says)
			}
		})
	}
}

// FuzzBuild: whatever a spec says, paths of an artifact are below its root.
func FuzzBuild(f *testing.F) {
	f.Add("@s/deploy/**", "@artifact/x", "*.md", "Overwrite")
	f.Add("@s/charts/{one,two}.tgz", "@artifact/../..", "a/**/[!b]", "Extract")
	f.Add("@s/[a-", "@artifact//", "{a,{b,c}}", "Merge")
	f.Fuzz(func(t *testing.T, source, to, exclude, strategy string) {
		files, err := Build([]generatorv1.CopyOperation{with(strategy, from(source, to, exclude))},
			map[string]*Listing{"s": listing(fleet)}, memory{}, &Work{})
		if err != nil && !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrContent) {
			t.Errorf("%v is of neither kind", err)
		}
		for name := range files {
			if clean, err := local(name); err != nil || clean != name || name == "." {
				t.Errorf("%q is no path in an artifact", name)
			}
		}
	})
}
