// SPDX-License-Identifier: Apache-2.0

package build

import (
	"bytes"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	apikustomize "github.com/fluxcd/pkg/apis/kustomize"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	kustypes "sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/resid"
	"sigs.k8s.io/yaml"
)

// Kustomize passes over patches, replacements and images whose target is not there, which
// is a misspelt name more often than not. It does not say what matched, so that is asked
// of the objects that came out and, for what was renamed or deleted on the way, of those
// that went in. In doubt, something has matched. Components are left out: they are made for
// many, and what they find nothing for here is no mistake.

// maxTrials bounds how often objects are compared with targets and images.
const maxTrials = 1_000_000

// target is what something in a kustomization file asks for.
type target struct {
	origin   string // what asks, as people know it
	selector *kustypes.Selector
	image    string // instead of a selector
	newImage string // what the image is called then
}

// candidate is an object that a target may be about.
type candidate struct {
	gvk                 resid.Gvk
	names               []string
	namespace           string
	labels, annotations map[string]string
	images              []string
}

// matcher knows the objects of a build.
type matcher struct {
	job        *job
	built      []candidate
	source     []candidate // once they are needed
	whole      bool        // nothing was too large to be looked at
	affixes    affixes
	namespaces []string // that kustomizations give, and that objects have before
	renames    []kustypes.Image
	anyField   bool // images may be in fields of any name
	trials     int
}

// affixes are the prefixes and suffixes that kustomizations give names.
type affixes struct{ prefixes, suffixes []string }

// warnOfTargets warns of what matches nothing.
func (j *job) warnOfTargets(objects []*unstructured.Unstructured) {
	targets := j.targets()
	if len(targets) == 0 {
		return
	}
	m := j.matcher(objects)
	for _, t := range targets {
		if m.trials += len(m.built) + len(m.source) + len(m.renames); m.trials > maxTrials || len(j.warnings) >= maxWarnings {
			return
		}
		switch {
		case t.selector != nil && !m.matches(t.selector):
			j.warn(NothingMatched, t.origin+": no object matches its target ("+describeTarget(t.selector)+
				"); correct the target, or remove the entry")
		case t.selector == nil && !m.hasImage(t):
			j.warn(NothingMatched, t.origin+": no container has the image "+t.image+
				"; write its name as the manifests do, with its registry and without its tag, or remove the entry")
		}
	}
}

// targets are all that kustomization files and the spec ask for.
func (j *job) targets() []target {
	var all []target
	for _, name := range slices.Sorted(maps.Keys(j.overlay.vetted)) {
		k := j.overlay.vetted[name]
		if k.Kustomization == nil || k.Kind == kustypes.ComponentKind {
			continue
		}
		ofSpec := len(k.Patches) // where those of the spec begin
		if name == path.Clean(j.file) {
			ofSpec -= len(j.spec.Patches)
		}
		all = append(all, patchTargets(readablePath(name)+": patches", k.Patches[:ofSpec])...)
		all = append(all, patchTargets("spec.patches", k.Patches[ofSpec:])...)
		old := k.PatchesJson6902 //nolint:staticcheck // the old field works as well
		all = append(all, patchTargets(readablePath(name)+": patchesJson6902", old)...)
		all = append(all, j.replacementTargets(name, k)...)
		for i, image := range k.Images {
			where := fmt.Sprintf("%s: images[%d]", readablePath(name), i)
			if own := slices.IndexFunc(j.spec.Images, func(other apikustomize.Image) bool { return other.Name == image.Name }); own >= 0 &&
				name == path.Clean(j.file) {
				where = fmt.Sprintf("spec.images[%d]", own)
			}
			all = append(all, target{origin: where, image: image.Name, newImage: image.NewName})
		}
	}
	return all
}

func patchTargets(field string, patches []kustypes.Patch) (all []target) {
	for i, patch := range patches {
		if patch.Target != nil {
			all = append(all, target{origin: fmt.Sprintf("%s[%d]", field, i), selector: patch.Target})
		}
	}
	return all
}

// replacementTargets are those of the replacements in a kustomization file, and in the files
// that it names.
func (j *job) replacementTargets(name string, k *kustomization) (all []target) {
	for i, field := range k.Replacements {
		where, list := fmt.Sprintf("%s: replacements[%d]", readablePath(name), i), []kustypes.Replacement{field.Replacement}
		if field.Path != "" {
			file := path.Join(path.Dir(name), field.Path)
			data, err := j.overlay.content(file)
			if err != nil {
				continue
			}
			if yaml.Unmarshal(data, &list) != nil && yaml.Unmarshal(data, &list[0]) != nil {
				continue
			}
			where = readablePath(file)
		}
		for _, replacement := range list {
			for i, to := range replacement.Targets {
				if to != nil && to.Select != nil {
					all = append(all, target{origin: fmt.Sprintf("%s, targets[%d]", where, i), selector: to.Select})
				}
			}
		}
	}
	return all
}

func (j *job) matcher(objects []*unstructured.Unstructured) *matcher {
	m := &matcher{job: j, whole: true}
	for _, k := range j.overlay.vetted {
		if k.Kustomization == nil {
			continue
		}
		m.affixes.add(k.NamePrefix, k.NameSuffix)
		if k.Namespace != "" {
			m.namespaces = append(m.namespaces, k.Namespace, resid.DefaultNamespace)
		}
		for _, image := range k.Images {
			if image.NewName != "" {
				m.renames = append(m.renames, image)
			}
		}
		m.anyField = m.anyField || len(k.Configurations)+len(k.Crds)+len(k.Transformers) > 0
	}
	for _, u := range objects {
		gvk := u.GroupVersionKind()
		m.built = append(m.built, candidate{
			gvk:   resid.Gvk{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind},
			names: m.affixes.without(u.GetName()), namespace: u.GetNamespace(),
			labels: u.GetLabels(), annotations: u.GetAnnotations(), images: imagesOf(u.Object),
		})
	}
	return m
}

// matches reports whether a selector finds anything.
func (m *matcher) matches(s *kustypes.Selector) bool {
	if slices.ContainsFunc([]string{s.Group, s.Version, s.Kind, s.Name, s.Namespace}, isCostly) {
		return true
	}
	matches := m.predicate(s)
	return matches == nil || slices.ContainsFunc(m.built, matches) || slices.ContainsFunc(m.inSource(), matches) || !m.whole
}

// predicate reports whether a selector finds an object; nil if it is none.
func (m *matcher) predicate(s *kustypes.Selector) func(candidate) bool {
	regex, err := kustypes.NewSelectorRegex(s)
	if err != nil {
		return nil
	}
	byLabel, err := labels.Parse(s.LabelSelector)
	if err != nil {
		return nil
	}
	byAnnotation, err := labels.Parse(s.AnnotationSelector)
	if err != nil {
		return nil
	}
	return func(c candidate) bool {
		return regex.MatchGvk(c.gvk) && slices.ContainsFunc(c.names, regex.MatchName) &&
			slices.ContainsFunc(append(c.namespaces(), m.namespaces...), regex.MatchNamespace) &&
			byLabel.Matches(labels.Set(c.labels)) && byAnnotation.Matches(labels.Set(c.annotations))
	}
}

// namespaces are the one that an object has and the one that kustomize takes it to be in:
// an object without a namespace is in the default one.
func (c candidate) namespaces() []string {
	of := resid.NewResIdWithNamespace(resid.NewGvk(c.gvk.Group, c.gvk.Version, c.gvk.Kind), "", c.namespace)
	return []string{c.namespace, of.EffectiveNamespace()}
}

// hasImage reports whether an image is anywhere, or is what another entry makes of one: what
// an image is called in between is in no manifest.
func (m *matcher) hasImage(t target) bool {
	if m.anyField || isCostly(t.image) {
		return true
	}
	// As kustomize does: the name is a regular expression.
	regex, err := regexp.Compile("^" + t.image + "(:[a-zA-Z0-9_.{}-]*)?(@sha256:[a-zA-Z0-9_.{}-]*)?$")
	if err != nil {
		return true
	}
	has := func(c candidate) bool {
		return slices.ContainsFunc(c.images, func(image string) bool {
			rest, renamed := strings.CutPrefix(image, t.newImage)
			return regex.MatchString(image) || t.newImage != "" && renamed && (rest == "" || rest[0] == ':' || rest[0] == '@')
		})
	}
	between := func(other kustypes.Image) bool { return other.Name != t.image && regex.MatchString(other.NewName) }
	return slices.ContainsFunc(m.built, has) || slices.ContainsFunc(m.renames, between) ||
		slices.ContainsFunc(m.inSource(), has) || !m.whole
}

// inSource are the objects as they are in the source, patches included.
func (m *matcher) inSource() []candidate {
	if m.source != nil {
		return m.source
	}
	m.source = []candidate{}
	add := func(data []byte) {
		found, whole := manifestsIn("", data, func([]byte) bool { return true })
		m.whole = m.whole && whole
		for _, f := range found {
			m.source = append(m.source, candidate{
				gvk: f.gvk(), names: []string{f.Metadata.Name}, namespace: f.Metadata.Namespace,
				labels: f.Metadata.Labels, annotations: f.Metadata.Annotations, images: f.images,
			})
		}
	}
	for _, file := range slices.Compact(m.job.overlay.manifestFiles()) {
		add(m.job.overlay.contentOf(file))
	}
	for _, k := range m.job.overlay.vetted {
		for _, l := range k.loads {
			switch {
			case l.inline != "" && !bytes.Contains([]byte(l.inline), []byte("- op:")):
				add([]byte(l.inline))
			case l.name != "" && !l.opaque:
				add(m.job.overlay.contentOf(readablePath(l.name)))
			}
		}
	}
	return m.source
}

func (a *affixes) add(prefix, suffix string) {
	if prefix != "" {
		a.prefixes = append(a.prefixes, prefix)
	}
	if suffix != "" {
		a.suffixes = append(a.suffixes, suffix)
	}
}

// maxFormerNames bounds how many names an object may have had.
const maxFormerNames = 64

// without are the names that an object may have had on its way to the one it has.
func (a *affixes) without(name string) []string {
	names := []string{name}
	add := func(name string, cut bool) {
		if cut && name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for i := 0; i < len(names) && len(names) < maxFormerNames; i++ {
		for _, prefix := range a.prefixes {
			add(strings.CutPrefix(names[i], prefix))
		}
		for _, suffix := range a.suffixes {
			add(strings.CutSuffix(names[i], suffix))
		}
		unhashed := hashSuffix.ReplaceAllString(names[i], "")
		add(unhashed, unhashed != names[i])
	}
	return names
}

// imagesOf are the texts of all fields named image, and those of the references of images
// that are volumes.
func imagesOf(value any) (images []string) {
	switch value := value.(type) {
	case map[string]any:
		for key, field := range value {
			if of, ok := field.(map[string]any); ok && key == "image" {
				field = of["reference"]
			}
			if image, ok := field.(string); ok && key == "image" {
				images = append(images, image)
			}
			images = append(images, imagesOf(field)...)
		}
	case []any:
		for _, item := range value {
			images = append(images, imagesOf(item)...)
		}
	}
	return images
}
