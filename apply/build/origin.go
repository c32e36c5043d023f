// SPDX-License-Identifier: Apache-2.0

package build

import (
	"path"
	"regexp"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/sluice-cd/sluice/apply/remoteref"
)

// The annotations in which kustomize says where an object comes from, and what changed it, when buildMetadata
// asks for it.
const (
	originKey          = "config.kubernetes.io/origin"
	transformationsKey = "alpha.config.kubernetes.io/transformations"
)

// originPath matches a path in something fetched.
var originPath = regexp.MustCompile(`^(?:\.\./)*remote-base/([0-9]+)(?:/(.*))?$`)

// nameOrigins has the annotations of an object name the repositories of what was fetched, as if kustomize had
// fetched it.
func (r *remotes) nameOrigins(obj *unstructured.Unstructured) {
	if len(r.mounts) == 0 {
		return
	}
	annotations := obj.GetAnnotations()
	if text := annotations[originKey]; text != "" {
		var origin resource.Origin
		if yaml.Unmarshal([]byte(text), &origin) == nil {
			r.nameOrigin(&origin)
			annotations[originKey] = marshalled(origin, text)
		}
	}
	if text := annotations[transformationsKey]; text != "" {
		var all resource.Transformations
		if yaml.Unmarshal([]byte(text), &all) == nil {
			for _, origin := range all {
				r.nameOrigin(origin)
			}
			annotations[transformationsKey] = marshalled(all, text)
		}
	}
	if annotations != nil {
		obj.SetAnnotations(annotations)
	}
}

// marshalled is a value in YAML, or the text that it was.
func marshalled(value any, was string) string {
	text, err := yaml.Marshal(value)
	if err != nil {
		return was
	}
	return string(text)
}

// nameOrigin names the repository of an origin that is in something fetched.
func (r *remotes) nameOrigin(origin *resource.Origin) {
	if origin == nil {
		return
	}
	for _, name := range []*string{&origin.Path, &origin.ConfiguredIn} {
		found := originPath.FindStringSubmatch(*name)
		if found == nil {
			continue
		}
		in, _ := r.mountOf(remoteMount + "/" + found[1])
		if in == nil {
			continue
		}
		at := in.originOf(found[2])
		origin.Repo, origin.Ref, *name = remoteref.Redacted(at.URL), at.Ref, at.Path
	}
}

// originOf is where a path in something fetched is. A file may be in what reads as a repository, too.
func (m *mounted) originOf(inside string) remoteref.Repository {
	if m.repository.URL == "" {
		found, err := remoteref.Parse(m.file)
		if err != nil {
			return remoteref.Repository{URL: path.Dir(m.file), Path: inside}
		}
		return found
	}
	at := m.repository
	at.Path = inside
	return at
}
