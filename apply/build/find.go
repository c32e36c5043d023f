// SPDX-License-Identifier: Apache-2.0

package build

import (
	"bytes"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/kyaml/resid"

	"github.com/sluice-cd/sluice/internal/tree"
)

// maxManifest is up to which size, in bytes, a document is decoded once more to find out
// what is wrong with a build.
const maxManifest = 256 << 10

// manifest is an object of the source as it is written there.
type manifest struct {
	file string // its path in the source
	head
	images []string // those of [imagesIn]
}

// head is what identifies an object.
type head struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	Metadata   struct {
		Name        string            `yaml:"name"`
		Namespace   string            `yaml:"namespace"`
		Labels      map[string]string `yaml:"labels"`
		Annotations map[string]string `yaml:"annotations"`
	} `yaml:"metadata"`
}

func (h head) gvk() resid.Gvk {
	group, version, ok := strings.Cut(h.APIVersion, "/")
	if !ok {
		group, version = "", h.APIVersion
	}
	return resid.Gvk{Group: group, Version: version, Kind: h.Kind}
}

// manifestsIn reads the objects of a file. whole says that nothing was too large for that.
// What is no YAML is left out: a build has failed by it, or never reads it.
func manifestsIn(file string, data []byte, keep func(document []byte) bool) (found []manifest, whole bool) {
	whole = true
	for _, document := range documents(data) {
		if !keep(document) {
			continue
		}
		if len(document) > maxManifest {
			whole = false
			continue
		}
		var root yaml.Node
		if yaml.Unmarshal(document, &root) != nil {
			continue
		}
		for _, node := range itemsOf(&root) {
			m := manifest{file: file}
			if node.Decode(&m.head) == nil {
				m.images = imagesIn(node)
				found = append(found, m)
			}
		}
	}
	return found, whole
}

// itemsOf are the objects of a document: itself, or what is in it if it is a list.
func itemsOf(root *yaml.Node) []*yaml.Node {
	if len(root.Content) == 0 {
		return nil
	}
	object := root.Content[0]
	if object.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(object.Content); i += 2 {
		if object.Content[i].Value == "items" && object.Content[i+1].Kind == yaml.SequenceNode {
			return object.Content[i+1].Content
		}
	}
	return []*yaml.Node{object}
}

// imagesIn are the texts of all fields named image, and of the fields named reference in
// them, which image volumes have. Aliases are not followed: what they stand for is in the
// document, too.
func imagesIn(node *yaml.Node) (images []string) {
	if node.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value != "image" {
				continue
			}
			switch image := node.Content[i+1]; image.Kind {
			case yaml.ScalarNode:
				images = append(images, image.Value)
			case yaml.MappingNode:
				images = append(images, textsOf(image, "reference")...)
			}
		}
	}
	for _, child := range node.Content {
		images = append(images, imagesIn(child)...)
	}
	return images
}

// textsOf are the texts of the fields with a name that a mapping has.
func textsOf(mapping *yaml.Node, name string) (texts []string) {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == name && mapping.Content[i+1].Kind == yaml.ScalarNode {
			texts = append(texts, mapping.Content[i+1].Value)
		}
	}
	return texts
}

// FilesOf returns the files of a source, among those that a build has read, that an object
// of a kind comes from: its name there may be the beginning, the end or the middle of the
// one that it was given. Files with exactly its name win. Nothing is found of an object that
// was generated, or that is larger than 256 KiB.
func (r Reads) FilesOf(t tree.Tree, kind, name string) []string {
	links := linksOf(t)
	return filesOf(slices.Sorted(maps.Keys(r)), kind, name, func(file string) []byte {
		e, real, err := statEntry(links, file)
		if err != nil || !e.Mode.IsFile() || !isManifest(file) {
			return nil
		}
		data, err := t.ReadFile(real)
		if err != nil {
			return nil
		}
		return data
	})
}

// filesOf is FilesOf some files, with their content from read.
func filesOf(files []string, kind, name string, read func(string) []byte) []string {
	var exact, near []string
	for _, file := range files {
		found, _ := manifestsIn(file, read(file), func(document []byte) bool { return bytes.Contains(document, []byte(kind)) })
		for _, m := range found {
			written := m.Metadata.Name
			switch {
			case m.Kind != kind:
			case written == name:
				exact = append(exact, file)
			case len(written) > 0 && affixed(name, written):
				near = append(near, file)
			}
		}
	}
	if len(exact) > 0 {
		return exact
	}
	return near
}

// affixed reports whether a name is another with a prefix that ends, or a suffix that begins
// with a dash or a dot, as those of kustomize usually do.
func affixed(name, of string) bool {
	at := strings.Index(name, of)
	if at < 0 {
		return false
	}
	before, after := name[:at], name[at+len(of):]
	return (before == "" || strings.HasSuffix(before, "-") || strings.HasSuffix(before, ".")) &&
		(after == "" || strings.HasPrefix(after, "-") || strings.HasPrefix(after, "."))
}

// filesOf returns the files that an object of this build comes from.
func (o *overlay) filesOf(kind, name string) []string {
	return filesOf(o.manifestFiles(), kind, name, o.contentOf)
}

// writtenIn says in which files an object is, as part of a sentence; "" if nobody knows.
func writtenIn(files []string) string {
	files = slices.Compact(files)
	if len(files) == 0 {
		return ""
	}
	return " in " + strings.Join(files[:min(len(files), 3)], ", ")
}

// contentOf is the content of a file that was read before; nothing if it cannot be read
// again.
func (o *overlay) contentOf(file string) []byte {
	data, err := o.content(path.Join(mount, file))
	if err != nil {
		return nil
	}
	return data
}

// manifestFiles are the files that resources come from, by their paths in the source, as
// often as they are used.
func (o *overlay) manifestFiles() []string {
	files := make([]string, 0, len(o.manifests))
	for _, name := range o.manifests {
		if file, err := inTree(name); err == nil {
			files = append(files, file)
		}
	}
	slices.Sort(files)
	return files
}

// hashSuffix is what kustomize puts at the end of the names of what it generates.
var hashSuffix = regexp.MustCompile(`-[bcdfghkmt2456789]{10}$`)
