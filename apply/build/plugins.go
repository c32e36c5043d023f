// SPDX-License-Identifier: Apache-2.0

package build

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/provider"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/resource"
	kustypes "sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"
)

// errHelm says that charts are not rendered by a build.
var errHelm = errors.New("a build runs no helm: render the chart (helm template) and commit the result, " +
	"or leave it to a HelmRelease of Flux")

// pluginPaths are kustomize's built-in generators and transformers, by kind, with
// the fields of their configuration through which they read files. A kind that is
// not here is refused: what it would read is not known.
var pluginPaths = map[string][]pluginPath{
	"AnnotationsTransformer":         nil,
	"ConfigMapGenerator":             {{"files", asSource}, {"envs", asOpaque}, {"env", asOpaque}},
	"HashTransformer":                nil,
	"IAMPolicyGenerator":             nil,
	"ImageTagTransformer":            nil,
	"LabelTransformer":               nil,
	"NamespaceTransformer":           nil,
	"PatchJson6902Transformer":       {{"path", asFile}, {"jsonOp", asInline}},
	"PatchStrategicMergeTransformer": {{"paths", asPatch}, {"patches", asInline}},
	"PatchTransformer":               {{"path", asFile}, {"patch", asInline}},
	"PrefixSuffixTransformer":        nil,
	"PrefixTransformer":              nil,
	"ReplacementTransformer":         {{"replacements/path", asFile}},
	"ReplicaCountTransformer":        nil,
	"SecretGenerator":                {{"files", asSource}, {"envs", asOpaque}, {"env", asOpaque}},
	"SuffixTransformer":              nil,
	"ValueAddTransformer":            {{"targetFilePath", asFile}},
}

type pluginPath struct {
	field string
	as    fieldUse
}

// fieldUse is how a plugin reads what a field says.
type fieldUse int

const (
	asFile   fieldUse = iota // a file that is decoded
	asOpaque                 // a file that is data
	asSource                 // "path" or "key=path", data
	asPatch                  // a document, or else a file
	asInline                 // a document
)

// plugins vets generators, transformers and validators. All of them, from whichever
// file or directory, become documents in the kustomization file itself, so that
// kustomize reads nothing that was not vetted.
func (v *referenceRewriter) plugins(k *kustypes.Kustomization) error {
	for _, field := range []struct {
		name string
		refs *[]string
	}{
		{"generators", &k.Generators}, {"transformers", &k.Transformers}, {"validators", &k.Validators},
	} {
		var vetted []string
		for _, ref := range *field.refs {
			documents, err := v.plugin(ref, 0)
			if err != nil {
				return fmt.Errorf("%s: %w", field.name, err)
			}
			vetted = append(vetted, documents...)
		}
		*field.refs = vetted
	}
	return nil
}

// plugin returns the documents that an entry stands for: it is one, or the path of a
// file with some, or of a directory that lists such files.
func (v *referenceRewriter) plugin(ref string, depth int) ([]string, error) {
	if depth > v.o.bounds.Nesting {
		return nil, tooLarge(v.o.bounds.Nesting, "directories of plugins in a row", "nest less")
	}
	if _, err := v.o.weigh([]byte(ref)); err != nil {
		return nil, err
	}
	if found, err := newResources([]byte(ref)); err == nil { // kustomize asks in this order, too
		return v.documents(found)
	}
	if depth == 0 { // those of directories are vetted where these list them
		if err := v.path("configuration", &ref, eitherOfThem); err != nil {
			return nil, err
		}
	}
	name := v.abs(ref)
	if v.o.IsDir(name) {
		return v.pluginDir(name, depth)
	}
	data, err := v.o.content(name)
	if err != nil {
		return nil, err
	}
	if _, err := v.o.weighFile(name, data); err != nil {
		return nil, err
	}
	found, err := newResources(data)
	if err != nil {
		return nil, fmt.Errorf("decoding %s: %w", name, err)
	}
	return v.documents(found)
}

// pluginDir returns the documents that a directory lists. Anything but a list would
// have to be built first, and could put a URL together that was in no file.
func (v *referenceRewriter) pluginDir(dir string, depth int) ([]string, error) {
	name := kustomizationIn(v.o, dir)
	if name == "" {
		return nil, fmt.Errorf("%s has no kustomization.yaml", dir)
	}
	data, err := v.o.content(name)
	if err != nil {
		return nil, err
	}
	var k kustypes.Kustomization
	if err := k.Unmarshal(data); err != nil {
		return nil, fmt.Errorf("decoding %s: %w", name, err)
	}
	k.FixKustomization()
	rest := k
	rest.Resources, rest.TypeMeta, rest.MetaData, rest.BuildMetadata = nil, kustypes.TypeMeta{}, nil, nil
	if left, err := yaml.Marshal(rest); err != nil || strings.TrimSpace(string(left)) != "{}" {
		return nil, fmt.Errorf("%s may have nothing but resources, for it configures plugins; it has %.100q", name, left)
	}
	var all []string
	below := &referenceRewriter{o: v.o, dir: dir}
	for _, ref := range k.Resources {
		if err := below.path("resources", &ref, eitherOfThem); err != nil {
			return nil, err
		}
		// What the plugins read starts where they are used.
		found, err := v.plugin(relative(v.dir, below.abs(ref)), depth+1)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// relative is a path from one directory of the overlay to something in it.
func relative(from, to string) string {
	up := strings.Repeat("../", strings.Count(strings.TrimPrefix(from, "/"), "/")+1)
	return path.Join("./"+up, to)
}

func newResources(data []byte) (resmap.ResMap, error) {
	return resmap.NewFactory(provider.NewDepProvider().GetResourceFactory()).NewResMapFromBytes(data)
}

// documents vets the configuration of plugins.
func (v *referenceRewriter) documents(found resmap.ResMap) ([]string, error) {
	var all []string
	for _, res := range found.Resources() {
		document, err := v.document(res)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", res.GetKind(), res.GetName(), err)
		}
		all = append(all, document)
	}
	return all, nil
}

func (v *referenceRewriter) document(res *resource.Resource) (string, error) {
	gvk := res.GetGvk()
	paths, known := pluginPaths[gvk.Kind]
	switch {
	case gvk.Kind == "HelmChartInflationGenerator":
		return "", errHelm
	case gvk.Group != "" || gvk.Version != konfig.BuiltinPluginApiVersion || !known:
		return "", fmt.Errorf("only kustomize's built-in plugins are allowed, as apiVersion: %s", konfig.BuiltinPluginApiVersion)
	}
	config, err := res.Map()
	if err != nil {
		return "", err
	}
	for _, p := range paths {
		if err := v.pluginField(config, strings.Split(p.field, "/"), p.as); err != nil {
			return "", err
		}
	}
	data, err := yaml.Marshal(config)
	return "\n" + string(data), err
}

// pluginField vets one field of a plugin's configuration. Names match in any case,
// as they do when the plugin decodes it.
func (v *referenceRewriter) pluginField(config map[string]any, field []string, as fieldUse) error {
	for _, key := range slices.Sorted(maps.Keys(config)) {
		if !strings.EqualFold(key, field[0]) {
			continue
		}
		vet := func(value any) (any, error) { return v.pluginValue(value, field, as) }
		value, err := each(config[key], vet)
		if err != nil {
			return err
		}
		config[key] = value
	}
	return nil
}

// each calls f for a value, or for all of a list.
func each(value any, f func(any) (any, error)) (any, error) {
	list, ok := value.([]any)
	if !ok {
		return f(value)
	}
	for i := range list {
		item, err := each(list[i], f)
		if err != nil {
			return nil, err
		}
		list[i] = item
	}
	return list, nil
}

func (v *referenceRewriter) pluginValue(value any, field []string, as fieldUse) (any, error) {
	if inner, ok := value.(map[string]any); ok && len(field) > 1 {
		return inner, v.pluginField(inner, field[1:], as)
	}
	text, ok := value.(string)
	if !ok || len(field) > 1 {
		return value, nil // kustomize will not decode it
	}
	var err error
	switch as {
	case asFile:
		err = v.file(field[0], &text, fileReference{targets: true})
	case asOpaque:
		err = v.file(field[0], &text, fileReference{opaque: true})
	case asSource:
		err = v.source(field[0], &text)
	case asPatch:
		err = v.patch(field[0], &text)
	case asInline:
		v.loads = append(v.loads, fileReference{inline: text, targets: true})
	}
	return text, err
}
