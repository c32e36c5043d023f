// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"errors"
	"strings"
	"testing"

	generatorv1 "github.com/fluxcd/source-watcher/api/v2/v1beta1"
	"github.com/google/go-cmp/cmp"
)

func spec(change func(*generatorv1.ArtifactGeneratorSpec)) *generatorv1.ArtifactGeneratorSpec {
	s := &generatorv1.ArtifactGeneratorSpec{
		Sources: []generatorv1.SourceReference{{Alias: "s", Kind: "GitRepository", Name: "fleet"}},
		OutputArtifacts: []generatorv1.OutputArtifact{
			{Name: "a", Copy: []generatorv1.CopyOperation{from("@s/a/**", "@artifact/")}},
		},
	}
	change(s)
	return s
}

// perApp is a spec with an artifact for each directory that matches.
func perApp(s *generatorv1.ArtifactGeneratorSpec) {
	s.PathPattern = "@s/apps/{app}/envs/{env}"
	s.OutputArtifacts[0] = generatorv1.OutputArtifact{
		Name: "{app}-{env}", Copy: []generatorv1.CopyOperation{from("@s/apps/{app}/envs/{env}/**", "@artifact/{env}/")},
	}
}

func TestCheck(t *testing.T) {
	type s = generatorv1.ArtifactGeneratorSpec
	tests := map[string]struct {
		change func(*s)
		says   string
	}{
		"as it should be":    {func(*s) {}, ""},
		"with a pathPattern": {perApp, ""},
		"an alias twice":     {func(s *s) { s.Sources = append(s.Sources, s.Sources[0]) }, "duplicate source alias 's' found"},
		"an artifact twice": {
			func(s *s) { s.OutputArtifacts = append(s.OutputArtifacts, s.OutputArtifacts[0]) },
			"duplicate artifact name 'a' found",
		},
		"a HelmChart":             {func(s *s) { s.Sources[0].Kind = "HelmChart" }, "use an OCIRepository of the chart"},
		"an unknown kind":         {func(s *s) { s.Sources[0].Kind = "Secret" }, "has kind 'Secret'"},
		"a name that is none":     {func(s *s) { s.OutputArtifacts[0].Name = "A/b" }, "not a valid Kubernetes object name"},
		"an unknown revision":     {func(s *s) { s.OutputArtifacts[0].Revision = "@x" }, "artifact a revision source alias 'x' not found"},
		"an unknown origin":       {func(s *s) { s.OutputArtifacts[0].OriginRevision = "@x" }, ""},
		"a copy of nothing known": {func(s *s) { s.OutputArtifacts[0].Copy[0].From = "@x/a" }, "source alias 'x' not found"},
		"an unknown pathPattern":  {func(s *s) { perApp(s); s.PathPattern = "@x/{app}/{env}" }, "source alias 'x' not found"},
		"no pathPattern":          {func(s *s) { perApp(s); s.PathPattern = "apps" }, "no '@alias/path'"},
		"a capture not closed":    {func(s *s) { perApp(s); s.PathPattern = "@s/{app" }, "a brace is not closed"},
		"a capture not opened":    {func(s *s) { perApp(s); s.PathPattern = "@s/app}" }, "a brace is closed that was not opened"},
		"a capture twice":         {func(s *s) { perApp(s); s.PathPattern = "@s/{app}/{app}" }, "{app} is there twice"},
		"a capture without name":  {func(s *s) { perApp(s); s.PathPattern = "@s/{}" }, "'{}' is no name"},
		"a capture of no label":   {func(s *s) { perApp(s); s.PathPattern = "@s/{_app}" }, "{_app} is no name of a label"},
		"a name not captured": {
			func(s *s) { s.OutputArtifacts = append(s.OutputArtifacts, s.OutputArtifacts[0]) },
			"duplicate artifact name 'a' found",
		},
		"a path not captured": {
			func(s *s) { s.OutputArtifacts = append(s.OutputArtifacts, s.OutputArtifacts[0]) },
			"duplicate artifact name 'a' found",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			err := Check(spec(tc.change))
			if tc.says == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v, want %q", err, tc.says)
			}
		})
	}
}

func TestExpand(t *testing.T) {
	tests := map[string]struct {
		dirs []string
		want map[string]string // what is copied from, by the name of the artifact
		says string
	}{
		"one for each directory": {
			[]string{"apps", "apps/Shop/envs/prod", "apps/Shop/envs/prod/deep", "apps/shop/other/prod", "apps/blog/envs/test"},
			map[string]string{"shop-prod": "@s/apps/Shop/envs/prod/**", "blog-test": "@s/apps/blog/envs/test/**"}, "",
		},
		"none":                     {[]string{"apps"}, map[string]string{}, ""},
		"two of one name":          {[]string{"apps/Shop/envs/prod", "apps/shop/envs/prod"}, nil, "both make an artifact 'shop-prod'"},
		"one that is no label":     {[]string{"apps/.git/envs/prod"}, nil, "directory 'apps/.git/envs/prod': {app} is no value of a label"},
		"one that makes no name":   {[]string{"apps/a_b/envs/prod"}, nil, "artifact name 'a_b-prod'"},
		"a directory like a brace": {[]string{"apps/a{x}/envs/prod"}, nil, "no value of a label"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			outputs, err := Expand(spec(perApp), tc.dirs)
			if tc.says != "" {
				if !errors.Is(err, ErrContent) || !strings.Contains(err.Error(), tc.says) {
					t.Errorf("got %v, want %q", err, tc.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for _, o := range outputs {
				got[o.Name] = o.Copy[0].From
				if o.Labels["app"]+"-"+o.Labels["env"] != o.Name {
					t.Errorf("%s has labels %v", o.Name, o.Labels)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMerge(t *testing.T) {
	tests := map[string]struct{ base, overlay, want, says string }{
		"maps in maps":           {"a: {b: 1, c: 2}", "a: {c: 3, d: 4}", "a:\n  b: 1\n  c: 3\n  d: 4\n", ""},
		"a list is replaced":     {"a: [1, 2]", "a: [3]", "a:\n- 3\n", ""},
		"a map over a value":     {"a: 1", "a: {b: 2}", "a:\n  b: 2\n", ""},
		"several documents":      {"a: 1\n---\nb: 2\n", "---\nc: 3\n---\na: 4\n", "a: 4\nb: 2\nc: 3\n", ""},
		"nothing":                {"", "# nothing", "{}\n", ""},
		"a null stays one":       {"a: 1", "a: null", "a: null\n", ""},
		"large numbers are kept": {"a: 9007199254740993", "b: 1000000", "a: 9007199254740993\nb: 1000000\n", ""},
		"no map":                 {"a: 1", "[1]", "", "reading YAML"},
		"no YAML":                {"a: {", "a: 1", "", "reading YAML"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := merge([]byte(tc.base), []byte(tc.overlay))
			if tc.says != "" {
				if err == nil || !strings.Contains(err.Error(), tc.says) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil || string(got) != tc.want {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func FuzzMerge(f *testing.F) {
	f.Add("a: {b: 1}", "a: [1]")
	f.Fuzz(func(t *testing.T, base, overlay string) {
		merged, err := merge([]byte(base), []byte(overlay))
		if err != nil {
			return
		}
		if again, err := merge(merged, merged); err != nil || string(again) != string(merged) {
			t.Errorf("%q merged with itself is %q, %v", merged, again, err)
		}
	})
}

func FuzzExpand(f *testing.F) {
	f.Add("@s/apps/{app}", "{app}", "apps/shop")
	f.Fuzz(func(t *testing.T, pattern, name, dir string) {
		s := spec(func(s *generatorv1.ArtifactGeneratorSpec) { s.PathPattern, s.OutputArtifacts[0].Name = pattern, name })
		checked := Check(s)
		if _, err := Expand(s, []string{dir}); checked == nil && errors.Is(err, ErrInvalid) {
			t.Errorf("a spec that was checked is invalid: %v", err)
		}
	})
}
