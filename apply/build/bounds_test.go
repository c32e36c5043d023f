// SPDX-License-Identifier: Apache-2.0

package build

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
)

// laughs doubles with every level.
func laughs(levels int) string {
	text := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for i := range levels {
		text += fmt.Sprintf("%c: &%[1]c [%s]\n", 'b'+i, strings.TrimSuffix(strings.Repeat("*"+string(rune('a'+i))+",", 10), ","))
	}
	return text
}

// doubled are bases of which every level uses the one below twice.
func doubled(levels int, resource string) map[string]string {
	files := map[string]string{"base/kustomization.yaml": resource, "base/cm.yaml": configMap("a")}
	below := "base"
	for i := range levels {
		for _, side := range []string{"a", "b"} {
			files[fmt.Sprintf("l%d%s/kustomization.yaml", i, side)] = fmt.Sprintf("namePrefix: %s\nresources: [../%s]\n", side, below)
		}
		files[fmt.Sprintf("l%d/kustomization.yaml", i)] = fmt.Sprintf("resources: [../l%da, ../l%[1]db]\n", i)
		below = fmt.Sprintf("l%d", i)
	}
	files["kustomization.yaml"] = "resources: [" + below + "]\n"
	return files
}

// small are bounds that tests reach quickly.
var small = Bounds{
	Objects: 500, Bases: 500, FileBytes: 1 << 20, Bytes: 4 << 20, DocumentNodes: 20_000, Nodes: 50_000, Aliased: 2000,
}

func TestABuildIsBounded(t *testing.T) {
	inline := func(document string) string {
		return "\n" + strings.ReplaceAll("\n"+document, "\n", "\n    ")
	}
	long := configMap("a") + "x:\n" + strings.Repeat("- a\n", 60_000)
	tests := map[string]struct {
		files map[string]string
		says  string
	}{
		"aliases of aliases": {
			map[string]string{"a.yaml": configMap("a") + laughs(5)},
			"a.yaml: the build is too large: more than 2000 values that aliases stand for in one YAML document",
		},
		"in a second document": {
			map[string]string{"a.yaml": configMap("a") + "---\n" + configMap("b") + laughs(5)},
			"values that aliases stand for",
		},
		"in a patch": {
			map[string]string{
				"kustomization.yaml": "resources: [a.yaml]\npatches: [{path: p.yaml}]",
				"a.yaml":             configMap("a"),
				"p.yaml":             configMap("a") + laughs(5),
			},
			"p.yaml: ",
		},
		"in an inline patch": {
			map[string]string{
				"kustomization.yaml": "resources: [a.yaml]\npatches:\n- patch: |" + inline(configMap("a")+laughs(5)),
				"a.yaml":             configMap("a"),
			},
			"values that aliases stand for",
		},
		"in an inline merge patch": {
			map[string]string{
				"kustomization.yaml": "resources: [a.yaml]\npatchesStrategicMerge:\n- |" + inline(configMap("a")+laughs(5)),
				"a.yaml":             configMap("a"),
			},
			"values that aliases stand for",
		},
		"in a generator": {
			map[string]string{"kustomization.yaml": "generators: [g.yaml]", "g.yaml": plugin("ConfigMapGenerator", laughs(5))},
			"values that aliases stand for",
		},
		"in an inline generator": {
			map[string]string{"kustomization.yaml": "generators:\n- |" + inline(plugin("ConfigMapGenerator", laughs(5)))},
			"values that aliases stand for",
		},
		"in a plugin's inline patch": {
			map[string]string{
				"kustomization.yaml": "resources: [a.yaml]\ntransformers: [t.yaml]",
				"a.yaml":             configMap("a"),
				"t.yaml":             plugin("PatchTransformer", "target: {kind: ConfigMap}\npatch: |"+inline(configMap("a")+laughs(5))),
			},
			"values that aliases stand for",
		},
		"in a replacement": {
			map[string]string{
				"kustomization.yaml": "resources: [a.yaml]\nreplacements: [{path: r.yaml}]",
				"a.yaml":             configMap("a"),
				"r.yaml":             laughs(5),
			},
			"r.yaml: ",
		},
		"in configurations": {
			map[string]string{"kustomization.yaml": "resources: [a.yaml]\nconfigurations: [c.yaml]", "a.yaml": configMap("a"), "c.yaml": laughs(5)},
			"c.yaml: ",
		},
		"in crds": {
			map[string]string{"kustomization.yaml": "resources: [a.yaml]\ncrds: [c.yaml]", "a.yaml": configMap("a"), "c.yaml": laughs(5)},
			"c.yaml: ",
		},
		"in a schema": {
			map[string]string{"kustomization.yaml": "resources: [a.yaml]\nopenapi: {path: c.yaml}", "a.yaml": configMap("a"), "c.yaml": laughs(5)},
			"c.yaml: ",
		},
		"in a kustomization": {map[string]string{"kustomization.yaml": laughs(5)}, "kustomization.yaml: "},
		"an alias of a long text": {
			map[string]string{"a.yaml": configMap("a") + "x: &x '" + strings.Repeat("x", 1<<18) + "'\ny: [" + strings.Repeat("*x,", 9) + "]\n"},
			"bytes in one YAML document",
		},
		"an alias of itself": {map[string]string{"a.yaml": configMap("a") + "x: &x [*x]\n"}, "contains itself"},
		"one long list":      {map[string]string{"a.yaml": long}, "values in one YAML document"},
		"many lists": {
			map[string]string{"a.yaml": strings.Repeat(configMap("a")+"x: ["+strings.Repeat("a,", 9_000)+"]\n---\n", 7)},
			"more than 50000 values",
		},
		"deep lists": {
			map[string]string{"a.yaml": configMap("a") + "x: " + strings.Repeat("[", 9000) + strings.Repeat("]", 9000)},
			"levels of nesting",
		},
		"a deep schema": {
			map[string]string{"a.yaml": configMap("a") + "x: " + strings.Repeat("{a: ", 300) + strings.Repeat("}", 300)},
			"levels of nesting",
		},
		"a large file": {map[string]string{"a.yaml": configMap("a") + strings.Repeat("# long\n", 1<<18)}, "bytes in one file"},
		"a large file of a generator": {
			map[string]string{"kustomization.yaml": "configMapGenerator: [{name: a, files: [f]}]", "f": strings.Repeat("x", 2<<20)},
			"bytes in f",
		},
		"the same file many times": {
			map[string]string{
				"kustomization.yaml": "configMapGenerator: [{name: a, files: [" + strings.Repeat("f, ", 10) + "f]}]",
				"f":                  strings.Repeat("x", 1<<19),
			},
			"bytes of manifests",
		},
		"a billion bases":            {doubled(12, "resources: [cm.yaml]"), "bases, counted as often as they are used"},
		"a billion bases of nothing": {doubled(12, "resources: []"), "bases, counted as often as they are used"},
		"many objects in one file":   {map[string]string{"a.yaml": strings.Repeat("---\n"+configMap("a"), 501)}, "objects"},
		"many objects in one list": {
			map[string]string{"a.yaml": "apiVersion: v1\nkind: List\nitems: [" + strings.Repeat("{}, ", 501) + "]"},
			"objects",
		},
		"a large patch of everything": {map[string]string{
			"kustomization.yaml": "resources: [a.yaml]\npatches: [{path: p.yaml, target: {kind: ConfigMap}}]",
			"a.yaml":             strings.Repeat("---\n"+configMap("a"), 400), "p.yaml": configMap("a", "k: "+strings.Repeat("x", 20_000)),
		}, "what is patched into them"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := newJob(nil, treeOf(t, tc.files), Spec{}, small, unboundedMemory{}).run() //nolint:staticcheck // nothing ends it
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Fatalf("got %.300v", err)
			}
			if !errors.Is(err, ErrTooLarge) && name != "an alias of itself" {
				t.Errorf("error is %.300v", err)
			}
		})
	}
}

func TestWhatPeopleWriteIsWithinTheBounds(t *testing.T) {
	many := ""
	for i := range 100 {
		many += "---\n" + configMap(fmt.Sprint("c", i), "k: v")
	}
	for name, files := range map[string]map[string]string{
		"anchors and merge keys": {"a.yaml": configMap("a") + "x-defaults: &d {a: b}\nlist: [*d, {<<: *d, c: d}]\n"},
		"bases used twice":       doubled(4, "resources: [cm.yaml]"),
		"a hundred objects":      {"a.yaml": many},
		"a large dashboard":      {"a.yaml": configMap("a", "dashboard: |\n"+strings.Repeat("    {\"a\": [1, 2, 3]},\n", 20_000))},
		"a deep schema":          {"a.yaml": configMap("a") + "x: " + strings.Repeat("{a: ", 100) + strings.Repeat("}", 100)},
	} {
		if _, err := Build(treeOf(t, files), Spec{}); err != nil {
			t.Errorf("%s: %.300v", name, err)
		}
	}
}

// The bounds themselves, where only measuring is needed.
func TestDefaultBounds(t *testing.T) {
	b := Bounds{}.withDefaults()
	for name, tc := range map[string]struct {
		document string
		within   bool
	}{
		"hundreds of thousands of lines":   {configMap("a") + "x:\n" + strings.Repeat("- a\n", 300_000), true},
		"a million lines":                  {configMap("a") + "x:\n" + strings.Repeat("- a\n", 1_000_000), false},
		"aliases of four levels":           {laughs(3), true},
		"aliases of six levels, 269 bytes": {laughs(5), false},
		"aliases of ten levels, 421 bytes": {laughs(9), false},
		"a large dashboard":                {configMap("a", "dashboard: |\n"+strings.Repeat("    {\"a\": [1, 2, 3]},\n", 40_000)), true},
	} {
		if _, err := b.weigh([]byte(tc.document), unboundedMemory{}); (err == nil) != tc.within {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func FuzzWeigh(f *testing.F) {
	f.Add([]byte(configMap("a") + laughs(5)))
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("a: &a {b: *a}\n---\n<<: *a"))
	f.Fuzz(func(t *testing.T, data []byte) {
		b := Bounds{DocumentNodes: 1000, FileBytes: 1 << 16}.withDefaults()
		w, err := b.weigh(data, unboundedMemory{})
		if err == nil && w.nodes > 3*b.DocumentNodes*max(1, w.documents) {
			t.Errorf("%q weighs %+v", data, w)
		}
	})
}

func TestABuildGoesAlongLinksOnlySoFar(t *testing.T) {
	files := map[string]string{"d/a.yaml": configMap("a"), "l0": "-> d/a.yaml"}
	for i := range 38 {
		files[fmt.Sprint("l", i+1)] = "-> " + strings.Repeat("d/../", 800) + fmt.Sprint("l", i)
	}
	var resources []string
	reads := Reads{}
	for i := range 40 {
		name := fmt.Sprintf("r%d.yaml", i)
		files[name] = "-> l38"
		resources = append(resources, name)
		reads[name] = isFile
	}
	one := treeOf(t, merged(files, "kustomization.yaml", "resources: [r0.yaml]"))
	if _, err := Build(one, Spec{}); err != nil {
		t.Errorf("one file behind forty links: %v", err)
	}
	all := treeOf(t, merged(files, "kustomization.yaml", "resources: ["+strings.Join(resources, ", ")+"]"))
	if _, err := Build(all, Spec{}); !errors.Is(err, ErrTooLarge) || !IsRefused(err) || !strings.Contains(err.Error(), "symbolic links") {
		t.Errorf("forty of them: %v", err)
	}
	if changed, same, err := reads.AnsweredBy(all); same || err != nil || changed == "" {
		t.Errorf("a tree with too many is the same: %v, %v after %q", same, err, changed)
	}
}

func merged(files map[string]string, name, content string) map[string]string {
	all := maps.Clone(files)
	all[name] = content
	return all
}
