// SPDX-License-Identifier: Apache-2.0

package build

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	kustypes "sigs.k8s.io/kustomize/api/types"

	"github.com/sluice-cd/sluice/internal/pattern"
	"github.com/sluice-cd/sluice/internal/suggest"
)

// measure follows a kustomization as kustomize will, without building anything, and
// says what the build comes to. Thirty small files can stand for a billion objects,
// each base of which is used twice; here they cost thirty decoded files.
type measure struct {
	o      *overlay
	total  weight
	bases  int64
	files  int64
	schema bool // something brings its own OpenAPI schema
	// isolate says that something can cost more than was measured: fields that add
	// to values, or that refer to themselves, or that are looked for everywhere.
	isolate bool
	// possible is what patches need if all objects have the name that they ask for.
	possible int64
	// visits is about how many values are looked at, for one entry of a list after
	// the other.
	visits int64
	// patches change one object each, targets those that they select.
	patches, targets int64
	// under are the directories that are being measured.
	under map[string]bool
}

// measured returns what building dir comes to.
func measured(o *overlay, dir string) (*measure, error) {
	m := &measure{o: o, under: map[string]bool{}}
	_, err := m.dir(dir, 0, 0)
	// Whatever may refer to a name is compared with all objects.
	m.visits += m.total.documents * m.total.nodes / 4
	// So are the items of a list that is patched with one another, at a higher price.
	m.visits += 2 * (m.patches*min(m.total.longest*m.total.longest, maxVisits) + m.targets*min(m.total.squares, maxVisits))
	m.isolate = m.isolate || m.possible > largeCost || m.visits > maxVisits
	return m, err
}

// maxVisits is from where on a build is isolated, so that it can be ended, for the
// time that it takes: several seconds.
const maxVisits = 4_000_000

// dir measures the kustomization in a directory. A component sees the objects of the
// one that includes it, others see only their own. It returns how many there are then.
func (m *measure) dir(dir string, depth int, seen int64) (int64, error) {
	b := m.o.bounds
	if m.under[dir] {
		return seen, nil // kustomize says so
	}
	m.under[dir] = true
	defer delete(m.under, dir)
	if depth > b.Nesting {
		return 0, m.o.refuse(tooLarge(b.Nesting, "kustomizations that refer to one another in a row", "nest less"))
	}
	if m.bases++; m.bases > b.Bases {
		return 0, m.o.refuse(tooLarge(b.Bases, "bases, counted as often as they are used", split))
	}
	name := kustomizationIn(m.o, dir)
	if name == "" {
		return seen, nil // kustomize says so
	}
	k, err := m.o.kustomization(name)
	if err != nil || k.Kustomization == nil {
		return seen, err
	}
	own := m.o.weights[name]
	own.documents = 0
	if err := m.add(own); err != nil {
		return 0, err
	}
	m.schema = m.schema || len(k.OpenAPI) > 0
	m.isolateCostly(k.Kustomization)
	if seen, err = m.resources(dir, k, depth, seen); err != nil {
		return 0, err
	}
	generated := int64(len(k.ConfigMapGenerator) + len(k.SecretGenerator) + len(k.Generators))
	seen += generated
	if err := m.add(weight{documents: generated}); err != nil {
		return 0, err
	}
	if seen, err = m.components(dir, k, depth, seen); err != nil {
		return 0, err
	}
	return seen, m.transformations(k, seen)
}

// components measures those that a kustomization includes, and returns how many objects there are then.
func (m *measure) components(dir string, k *kustomization, depth int, seen int64) (int64, error) {
	for _, ref := range k.Components {
		base, _, err := m.o.CleanedAbs(path.Join(dir, ref))
		if err != nil {
			if err := m.missing(k, "components", path.Join(dir, ref)); err != nil {
				return 0, err
			}
			continue // kustomize says so
		}
		if seen, err = m.dir(base.String(), depth+1, seen); err != nil {
			return 0, err
		}
	}
	return seen, nil
}

// isolateCostly notes whether a kustomization has fields whose cost is not a matter of what
// is read.
func (m *measure) isolateCostly(k *kustypes.Kustomization) {
	m.isolate = m.isolate || m.schema || len(k.Crds)+len(k.Replacements)+len(k.Vars)+len(k.Configurations) > 0 ||
		len(k.Generators)+len(k.Transformers)+len(k.Validators) > 0 || slices.ContainsFunc(expressions(k), isCostly)
}

// maxExpression is from how many instructions on a regular expression takes too long to
// be compiled for every object: some hundred microseconds.
const maxExpression = 256

func isCostly(expression string) bool { return pattern.Size(expression) > maxExpression }

// expressions are the texts that kustomize compiles as regular expressions: the names
// of images for every container, and what targets ask for.
func expressions(k *kustypes.Kustomization) []string {
	var all []string
	for _, image := range k.Images {
		all = append(all, image.Name)
	}
	for _, patch := range append(append([]kustypes.Patch{}, k.Patches...), k.PatchesJson6902...) {
		if t := patch.Target; t != nil {
			all = append(all, t.Group, t.Version, t.Kind, t.Name, t.Namespace)
		}
	}
	return all
}

func (m *measure) resources(dir string, k *kustomization, depth int, seen int64) (int64, error) {
	for _, ref := range append(append([]string{}, k.Resources...), k.Bases...) { //nolint:staticcheck // the old field works as well
		name := path.Join(dir, ref)
		switch {
		case m.o.IsDir(name):
			base, _, err := m.o.CleanedAbs(name)
			if err != nil {
				return 0, err
			}
			inner, err := m.dir(base.String(), depth+1, 0)
			if err != nil {
				return 0, err
			}
			seen += inner
		case m.o.Exists(name):
			m.o.manifests = append(m.o.manifests, name)
			w, err := m.file(name)
			if err != nil {
				return 0, err
			}
			seen += w.documents
		default:
			if err := m.missing(k, "resources", name); err != nil {
				return 0, err
			}
		}
	}
	return seen, nil
}

// missing refuses a file that the source does not have. Kustomize tries what else its name
// could mean, and tells of that.
func (m *measure) missing(k *kustomization, field, name string) error {
	if path.Base(name) == "." || strings.Contains(name, "\n") {
		return nil
	}
	if found, err := m.o.entry(name); err != nil || kindOf(found.Entry) != absent {
		return nil // it is outside of the source, and kustomize says so
	}
	text := fmt.Sprintf("%s: %s: the source has no %s", readablePath(k.name), field, readablePath(name))
	if names, err := m.o.ReadDir(path.Dir(name)); err == nil {
		if near := suggest.Nearest(path.Base(name), names); near != "" {
			text += ", did you mean " + near + "?"
		}
	}
	return m.o.refuse(errors.New(text + "; paths start at the directory of the file that names them"))
}

// transformations measures what a kustomization reads beside resources. A patch with
// a target may be added to every object there is.
func (m *measure) transformations(k *kustomization, seen int64) error {
	for _, l := range k.loads {
		w, err := m.load(k, l)
		if err != nil {
			return err
		}
		if l.targets {
			m.targets++
		} else if !l.opaque {
			m.patches++
		}
		if l.targets && seen > 1 {
			if err := m.multiply(w, seen-1); err != nil {
				return err
			}
		}
		if l.named && !l.targets {
			m.possible += w.retained() * seen
		}
	}
	m.visits += m.total.nodes*int64(len(k.Images)+len(k.Replicas)) + seen*int64(len(k.loads))
	var every weight // for every object
	every.bytes += int64(len(k.NamePrefix) + len(k.NameSuffix) + len(k.Namespace))
	for _, pairs := range append(labelsOf(k.Kustomization), k.CommonAnnotations) {
		for key, value := range pairs {
			every.nodes += 2
			every.bytes += int64(len(key) + len(value))
		}
	}
	return m.multiply(every, seen)
}

func labelsOf(k *kustypes.Kustomization) []map[string]string {
	all := []map[string]string{k.CommonLabels}
	for _, label := range k.Labels {
		all = append(all, label.Pairs)
	}
	return all
}

// load measures what is read, and returns it.
func (m *measure) load(k *kustomization, l fileReference) (weight, error) {
	if l.name != "" {
		switch {
		case m.o.IsDir(l.name):
			return weight{}, nil // kustomize says so
		case !m.o.Exists(l.name):
			return weight{}, m.missing(k, l.field, l.name)
		}
		if err := m.o.open(l); err != nil {
			return weight{}, err
		}
		read := m.file
		if l.opaque {
			read = m.opaqueFile
		}
		w, err := read(l.name)
		if l.patch && err == nil {
			data, err := m.o.file(l.name)
			m.isolate = m.isolate || err == nil && copies(data)
		}
		return w, err
	}
	w, err := m.o.weigh([]byte(l.inline))
	if err != nil {
		return w, err
	}
	m.isolate = m.isolate || l.patch && copies([]byte(l.inline))
	w.documents = 0
	return w, m.add(w)
}

// file measures a file of objects that kustomize reads. The objects in a patch
// are none of their own, but nobody has so many patches that it matters.
func (m *measure) file(name string) (weight, error) {
	return m.fileBy(name, m.o.weighFile)
}

// opaqueFile measures a file that kustomize takes over as it is, such as one of a ConfigMap.
func (m *measure) opaqueFile(name string) (weight, error) {
	return m.fileBy(name, func(name string, data []byte) (weight, error) {
		w := weight{bytes: int64(len(data))}
		if w.bytes > m.o.bounds.FileBytes {
			return w, m.o.refuse(tooLarge(m.o.bounds.FileBytes, "bytes in "+name, "split the file"))
		}
		m.o.opaque[path.Clean(name)] = true
		return w, nil
	})
}

func (m *measure) fileBy(name string, weigh func(name string, data []byte) (weight, error)) (weight, error) {
	if m.files++; m.files > m.o.bounds.Files {
		return weight{}, m.o.refuse(tooLarge(m.o.bounds.Files, "files, counted as often as they are read", split))
	}
	data, err := m.o.file(name)
	if err != nil {
		return weight{}, nil // it is outside of the source, and kustomize says so
	}
	w, err := weigh(name, data)
	if err != nil {
		return w, err
	}
	return w, m.add(w)
}

// multiply adds what is put on each of so many objects.
func (m *measure) multiply(each weight, times int64) error {
	b := m.o.bounds
	if each.bytes > b.Bytes || each.nodes > b.Nodes {
		return m.add(each)
	}
	return m.add(weight{nodes: each.nodes * times, bytes: each.bytes * times})
}

func (m *measure) add(w weight) error {
	m.total.add(w)
	b := m.o.bounds
	switch {
	case m.total.documents > b.Objects:
		return m.o.refuse(tooLarge(b.Objects, "objects, counted as often as their files are read", split))
	case m.total.bytes > b.Bytes:
		return m.o.refuse(tooLarge(b.Bytes, "bytes of manifests and of what is patched into them", split))
	case m.total.nodes > b.Nodes:
		return m.o.refuse(tooLarge(b.Nodes, "values in manifests and in what is patched into them", split))
	}
	return nil
}
