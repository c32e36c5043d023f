// SPDX-License-Identifier: Apache-2.0

package build

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"strings"

	kustypes "sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"

	"github.com/sluice-cd/sluice/apply/remoteref"
)

// Kustomize fetches whatever reference it takes for a URL or a Git remote, from
// wherever the controller runs. It has several parsers for that, and no option to
// turn them off. All of them want a letter first. So every reference of a
// kustomization file, and of the generators, transformers and validators it names,
// is rewritten before kustomize sees it: a path gets "./" in front, a document a
// line break. What is left cannot be remote, however it goes on. What was remote is fetched before, if it
// may be, and leads to where that is shown.
//
//	app/base     -> ./app/base      a file, a directory
//	key=app.env  -> key=./app.env   a generator's file
//	kind: Patch… -> \nkind: Patch…  a document where a path could be
//
// A directory named "app@v2" is a directory then, as it is for everybody else.

// remote matches what kustomize takes for a URL or for a Git remote, in the
// order of its own parser: an optional "git::", then a scheme, a user at a host,
// or github.com by name. It serves to say what is wrong, not to keep it out.
var remote = regexp.MustCompile(`^\s*(?i:(git::)?([a-z][a-z0-9+.-]*://|gh:|github\.com[/:]|[a-z][a-z0-9-]*@))`)

// isRemote reports whether kustomize would fetch ref.
func isRemote(ref string) bool { return remote.MatchString(ref) }

// referenceRewriter rewrites the references of a kustomization file, or of the configuration
// of plugins, in one directory.
type referenceRewriter struct {
	o *overlay
	// dir is where the references start.
	dir string
	// loads is what kustomize will read through them.
	loads []fileReference
}

// fileReference is a file that kustomize will read, or a document that is in the file itself.
type fileReference struct {
	name   string // absolute; "" for a document
	inline string
	// targets says that a patch may change any number of objects, named that it may
	// change all those of one name.
	targets, named bool
	// patch says that it may be a JSON patch, whose operations can copy.
	patch bool
	// opaque says that kustomize does not decode it.
	opaque bool
	// field of the kustomization file that names it.
	field string
	// as is what it is called where it goes to, "" for its own name.
	as string
}

// kustomization vets a kustomization file, and returns it rewritten.
func (v *referenceRewriter) kustomization(data []byte) (*kustypes.Kustomization, []byte, error) {
	k := &kustypes.Kustomization{}
	if err := k.Unmarshal(data); err != nil {
		return nil, data, nil // kustomize reads the file next, by the same rules
	}
	if len(k.HelmCharts)+len(k.HelmChartInflationGenerator) > 0 {
		return nil, nil, fmt.Errorf("helmCharts: %w", errHelm)
	}
	before, err := yaml.Marshal(k)
	if err != nil {
		return nil, nil, err
	}
	if err := v.checkAll(k); err != nil {
		return nil, nil, err
	}
	after, err := yaml.Marshal(k)
	if err != nil || bytes.Equal(before, after) {
		return k, data, err // as it was written: `resources: []` means something
	}
	return k, after, nil
}

// checkAll vets every field through which kustomize reads something.
func (v *referenceRewriter) checkAll(k *kustypes.Kustomization) error {
	for _, field := range []struct {
		name string
		refs []string
		use  remoteUse
	}{
		{"resources", k.Resources, eitherOfThem}, {"bases", k.Bases, eitherOfThem}, {"components", k.Components, aDirectory},
		{"crds", k.Crds, aFile}, {"configurations", k.Configurations, aFile},
	} {
		if err := v.paths(field.name, field.refs, field.use); err != nil {
			return err
		}
	}
	for _, name := range k.Crds {
		v.loads = append(v.loads, fileReference{name: v.abs(name), field: "crds"})
	}
	for _, name := range k.Configurations {
		v.loads = append(v.loads, fileReference{name: v.abs(name), field: "configurations"})
	}
	if schema, ok := k.OpenAPI["path"]; ok {
		if err := v.path("openapi", &schema, aFile); err != nil {
			return err
		}
		k.OpenAPI["path"] = schema
		v.loads = append(v.loads, fileReference{name: v.abs(schema), field: "openapi"})
	}
	for _, vet := range []func(*kustypes.Kustomization) error{v.patches, v.generated, v.plugins} {
		if err := vet(k); err != nil {
			return err
		}
	}
	return nil
}

func (v *referenceRewriter) patches(k *kustypes.Kustomization) error {
	for i := range k.PatchesStrategicMerge {
		ref := string(k.PatchesStrategicMerge[i])
		if err := v.patch("patchesStrategicMerge", &ref); err != nil {
			return err
		}
		k.PatchesStrategicMerge[i] = kustypes.PatchStrategicMerge(ref)
	}
	for _, list := range [][]kustypes.Patch{k.Patches, k.PatchesJson6902} {
		for i := range list {
			if err := v.file("patches", &list[i].Path, fileReference{
				inline: list[i].Patch, patch: true, targets: anyName(list[i].Target), named: list[i].Target != nil,
			}); err != nil {
				return err
			}
		}
	}
	for i := range k.Replacements {
		if err := v.file("replacements", &k.Replacements[i].Path, fileReference{}); err != nil {
			return err
		}
	}
	return nil
}

// anyName reports whether a patch may change objects of many names.
func anyName(target *kustypes.Selector) bool {
	return target != nil && (target.Name == "" || regexp.QuoteMeta(target.Name) != target.Name)
}

func (v *referenceRewriter) generated(k *kustypes.Kustomization) error {
	for i := range k.ConfigMapGenerator {
		if err := v.data("configMapGenerator", &k.ConfigMapGenerator[i].KvPairSources); err != nil {
			return err
		}
	}
	for i := range k.SecretGenerator {
		if err := v.data("secretGenerator", &k.SecretGenerator[i].KvPairSources); err != nil {
			return err
		}
	}
	return nil
}

// data vets the sources of a generator.
func (v *referenceRewriter) data(field string, sources *kustypes.KvPairSources) error {
	for i := range sources.FileSources {
		if err := v.source(field, &sources.FileSources[i]); err != nil {
			return err
		}
	}
	for i := range sources.EnvSources {
		if err := v.file(field, &sources.EnvSources[i], fileReference{opaque: true}); err != nil {
			return err
		}
	}
	return v.file(field, &sources.EnvSource, fileReference{opaque: true})
}

// source vets "path" and "key=path".
func (v *referenceRewriter) source(field string, source *string) error {
	key, name, keyed := strings.Cut(*source, "=")
	if !keyed {
		key, name = "", *source
	}
	if isRemote(*source) && !v.o.Exists(v.abs(*source)) { // a URL may have a "=" in it
		if keyed {
			return fmt.Errorf("%s: %w: %s: kustomize takes what is before = for a key", field, ErrRemote, remoteref.Redacted(*source))
		}
		key = fileNameOf(*source)
	}
	if err := v.file(field, &name, fileReference{opaque: true, as: key}); err != nil {
		return err
	}
	if *source = name; keyed {
		*source = key + "=" + name
	}
	return nil
}

func (v *referenceRewriter) paths(field string, refs []string, use remoteUse) error {
	for i := range refs {
		if err := v.path(field, &refs[i], use); err != nil {
			return err
		}
	}
	return nil
}

// file vets a path, and notes that it is read, or what stands in its place.
func (v *referenceRewriter) file(field string, ref *string, l fileReference) error {
	if err := v.path(field, ref, aFile); err != nil {
		return err
	}
	if l.field = field; *ref != "" {
		l.name = v.abs(*ref)
	}
	if l.name != "" || l.inline != "" {
		v.loads = append(v.loads, l)
	}
	return nil
}

// path rewrites a path so that it can be nothing else. What is remote is fetched, and becomes a path.
func (v *referenceRewriter) path(field string, ref *string, use remoteUse) error {
	if isRemote(*ref) && !v.o.Exists(v.abs(*ref)) {
		at, err := v.remote(*ref, use)
		if err != nil {
			return fmt.Errorf("%s: %w", field, err)
		}
		*ref = at
		return nil
	}
	if err := v.contained(*ref); err != nil {
		return fmt.Errorf("%s: %w", field, err)
	}
	if mayBeRemote(*ref) {
		*ref = "./" + *ref
	}
	return nil
}

// mayBeRemote reports whether a reference begins as only remote ones have to.
func mayBeRemote(ref string) bool {
	return ref != "" && (ref[0] >= 'a' && ref[0] <= 'z' || ref[0] >= 'A' && ref[0] <= 'Z')
}

// patch vets what kustomize takes for a patch if it can, and else for its path.
func (v *referenceRewriter) patch(field string, ref *string) error {
	if !strings.Contains(*ref, "\n") && (!strings.ContainsAny(*ref, "{[") || v.o.Exists(v.abs(*ref))) {
		return v.file(field, ref, fileReference{})
	}
	if mayBeRemote(*ref) {
		*ref = "\n" + *ref
	}
	v.loads = append(v.loads, fileReference{inline: *ref})
	return nil
}

func (v *referenceRewriter) abs(ref string) string {
	if path.IsAbs(ref) {
		return path.Clean(ref)
	}
	return path.Join(v.dir, ref)
}
