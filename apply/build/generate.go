// SPDX-License-Identifier: Apache-2.0

package build

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	apikustomize "github.com/fluxcd/pkg/apis/kustomize"
	"sigs.k8s.io/kustomize/api/konfig"
	kustypes "sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"
)

// generate returns the kustomization.yaml to build at dir, and its path: the
// one that is there, or one that lists every manifest below dir, with the
// fields of spec laid over it. The rules are upstream's, because the same
// Kustomization must give the same objects.
func generate(o *overlay, dir string, spec Spec) (name string, content []byte, err error) {
	kus := kustypes.Kustomization{TypeMeta: kustypes.TypeMeta{
		APIVersion: kustypes.KustomizationVersion, Kind: kustypes.KustomizationKind,
	}}
	name = kustomizationIn(o, dir)
	if name != "" {
		err = existing(o, name, &kus)
	} else {
		name = path.Join(dir, konfig.DefaultKustomizationFileName())
		err = collect(o, dir, &kus)
	}
	if err != nil {
		return "", nil, err
	}
	if err := applySpecFields(o, dir, spec, &kus); err != nil {
		return "", nil, err
	}
	content, err = yaml.Marshal(kus)
	return name, content, err
}

// kustomizationIn returns the path of dir's kustomization file, or "".
func kustomizationIn(o *overlay, dir string) string {
	for _, base := range konfig.RecognizedKustomizationFileNames() {
		if name := path.Join(dir, base); o.Exists(name) && !o.IsDir(name) {
			return name
		}
	}
	return ""
}

func existing(o *overlay, name string, kus *kustypes.Kustomization) error {
	data, err := o.content(name)
	if err != nil {
		return err
	}
	if _, err := o.weighFile(name, data); err != nil {
		return err
	}
	if err := yaml.Unmarshal(data, kus); err != nil {
		return fmt.Errorf("decoding %s: %w", name, err)
	}
	o.warnings = unknownInKustomization(name, data)
	if len(kus.Resources) == 0 {
		// Kustomize refuses a kustomization that asks for nothing.
		kus.BuildMetadata = []string{kustypes.OriginAnnotations}
	}
	return nil
}

// collect lists the manifests below dir; a directory with a kustomization file
// of its own is taken as a whole.
func collect(o *overlay, dir string, kus *kustypes.Kustomization) error {
	add := func(name string) { kus.Resources = append(kus.Resources, "."+strings.TrimPrefix(name, dir)) }
	err := o.Walk(dir, func(name string, info fs.FileInfo, err error) error {
		switch {
		case err != nil:
			return err
		case info.IsDir() && name != dir && kustomizationIn(o, name) != "":
			add(name)
			return fs.SkipDir
		case info.IsDir():
			return collectLinks(o, dir, name, add)
		case isManifest(name):
			add(name)
		}
		return nil
	})
	if err == nil && len(kus.Resources) == 0 {
		kus.Namespace = "_placeholder" // an empty kustomization would be refused
	}
	return err
}

// collectLinks adds the manifests that links in a directory lead to. Those below dir
// are there anyway.
func collectLinks(o *overlay, dir, at string, add func(string)) error {
	names, err := o.links(at, isManifest)
	for _, name := range names {
		found, err := o.entry(name)
		if err != nil {
			return err
		}
		if found.Mode.IsFile() && !strings.HasPrefix(found.path(), dir+"/") {
			add(name)
		}
	}
	return err
}

func isManifest(name string) bool {
	ext := path.Ext(name)
	return ext == ".yaml" || ext == ".yml"
}

// applySpecFields puts the Kustomization's own fields over the kustomization file.
func applySpecFields(o *overlay, dir string, spec Spec, kus *kustypes.Kustomization) error {
	if spec.TargetNamespace != "" {
		kus.Namespace = spec.TargetNamespace
	}
	if spec.NamePrefix != "" {
		kus.NamePrefix = spec.NamePrefix
	}
	if spec.NameSuffix != "" {
		kus.NameSuffix = spec.NameSuffix
	}
	if len(spec.BuildMetadata) > 0 {
		kus.BuildMetadata = spec.BuildMetadata
	}
	for i, p := range spec.Patches {
		if err := checkPatch(o, p); err != nil {
			return fmt.Errorf("spec.patches[%d]: %w", i, err)
		}
		kus.Patches = append(kus.Patches, kustypes.Patch{Patch: p.Patch, Target: selector(p.Target)})
	}
	for _, image := range spec.Images {
		kus.Images = override(kus.Images, image)
	}
	for i, component := range spec.Components {
		exists := o.Exists(path.Join(dir, component))
		switch {
		case isRemote(component) && !exists || path.IsAbs(component):
			return fmt.Errorf("spec.components[%d] (%s): %w", i, component, ErrRemote)
		case spec.IgnoreMissingComponents && !exists:
			continue
		case !exists:
			return fmt.Errorf("spec.components[%d] (%s): the source has no such directory; paths start at spec.path", i, component)
		}
		kus.Components = append(kus.Components, component)
	}
	return nil
}

// override merges an image of the spec into the kustomization's. Tag and digest
// together choose the version, so setting one clears the other: a digest that
// stayed beside a new tag would silently win.
func override(images []kustypes.Image, with apikustomize.Image) []kustypes.Image {
	i := slices.IndexFunc(images, func(image kustypes.Image) bool { return image.Name == with.Name })
	if i < 0 {
		return append(images, kustypes.Image{
			Name: with.Name, NewName: with.NewName, NewTag: with.NewTag, Digest: with.Digest,
		})
	}
	if with.NewName != "" {
		images[i].NewName = with.NewName
	}
	if with.NewTag != "" || with.Digest != "" {
		images[i].NewTag, images[i].Digest = with.NewTag, with.Digest
	}
	return images
}
