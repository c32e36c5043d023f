// SPDX-License-Identifier: Apache-2.0

package edit

import (
	"errors"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// Field is one that has no marker, or several that hold the parts of one image.
// Everything else in a file stays as it is, byte for byte. The zero value is none;
// see [YAMLField], [JSONField], [KustomizeImage], [HelmValues] and [RegexField].
type Field struct {
	format  format
	targets []target
	// entry is the item of a list that has the fields; nil if they need not share one.
	entry *target
}

// format finds the places of fields in files of one kind.
type format interface {
	// read finds the places that targets name.
	read(content []byte, targets []target) fileValues
	// write is a value as it is written into a place; a Reason if it cannot be.
	write(at span, value string) (string, Reason)
	// onlyChanged tells whether what the file says besides is as before. What is around
	// the places has the same bytes.
	onlyChanged(before, after fileValues, outcomes []MarkerResult) bool
	// encrypted tells whether a file is covered by the checksum of SOPS.
	encrypted(content []byte) bool
}

// target is what a field holds and how it is named.
type target struct {
	part     Part
	path     fieldPath // empty in a text
	name     string    // for people
	optional bool      // a part that is only written where it is
	split    bool      // the registry of the name may be in a field beside it
}

// valueLocation is where a value is in a file; its line is the node of the span.
type valueLocation struct {
	span     span
	value    string
	object   Object
	site     markerSite
	registry string // of the field beside a name
	why      Reason // there is none, or it is nothing to read or to replace
}

// fileValues is what a file says.
type fileValues struct {
	places   []valueLocation // one for each target
	document parsed          // the one of a YAML file that has the places
}

// parsed is a document of a YAML file.
type parsed struct {
	first int // its first line, 0 for none
	count int // the documents of the file
	nodes []*yaml.Node
}

// YAMLField is a field of a YAML file by its path, such as
// spec.template.spec.containers[name=app].image. One document of the file may have it.
func YAMLField(path string, part Part) (Field, error) {
	t, err := targetAt("yaml", path, part)
	return Field{format: yamlFormat{}, targets: []target{t}}, err
}

// JSONField is a field of a JSON file by its path.
func JSONField(path string, part Part) (Field, error) {
	t, err := targetAt("json", path, part)
	return Field{format: jsonFormat{}, targets: []target{t}}, err
}

// KustomizeImage is the entry of a name in the images of a kustomization. Of
// newName, newTag and digest those are written that it has; it must have one of
// the latter two.
func KustomizeImage(name string) (Field, error) {
	if name == "" {
		return Field{}, errors.New("kustomizeImage is empty")
	}
	entry := fieldPath{{key: "images"}, {by: "name", value: name}}
	f := Field{format: yamlFormat{}, entry: &target{path: entry, name: "kustomizeImage " + name}}
	for _, field := range []struct {
		key  string
		part Part
	}{{"newName", Name}, {"newTag", Tag}, {"digest", Digest}} {
		path := append(entry[:len(entry):len(entry)], step{key: field.key})
		f.targets = append(f.targets, target{part: field.part, path: path, name: f.entry.name + ": " + field.key, optional: true})
	}
	return f, nil
}

// HelmValues are fields in the values of a chart by their paths; an empty path is no
// field. Where a field "registry" beside the repository has the image's, the
// repository is written without it.
func HelmValues(repository, tag, digest string) (Field, error) {
	f := Field{format: yamlFormat{}}
	for _, field := range []struct {
		name, path string
		part       Part
	}{{"repository", repository, Name}, {"tag", tag, Tag}, {"digest", digest, Digest}} {
		if field.path == "" {
			continue
		}
		t, err := targetAt("helmValues."+field.name, field.path, field.part)
		if err != nil {
			return Field{}, err
		}
		t.split = field.part == Name
		f.targets = append(f.targets, t)
	}
	if tag == "" && digest == "" {
		return Field{}, errors.New("helmValues names neither tag nor digest")
	}
	return f, nil
}

func targetAt(kind, path string, part Part) (target, error) {
	parsed, err := parsePath(path)
	if err != nil {
		return target{}, fmt.Errorf("%s: %w", kind, err)
	}
	return target{part: part, path: parsed, name: kind + " " + path}, nil
}
