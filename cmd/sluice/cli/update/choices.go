// SPDX-License-Identifier: Apache-2.0

package update

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-containerregistry/pkg/name"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/manifest"
	"github.com/sluice-cd/sluice/writeback"
	"github.com/sluice-cd/sluice/writeback/edit"
)

// choices are the images to write, by namespace: what a file of policies says.
type choices map[string]*writeback.Policies

var errNoPolicies = errors.New("there are neither ImagePolicies nor lines of the form namespace:name: image:tag")

// parseChoices reads ImagePolicies with a status, also in Lists, and documents
// that map namespace:name to an image. Other objects are none of its business.
// Policies that name no namespace are of the given one.
func parseChoices(content []byte, namespace string) (choices, error) {
	found := choices{}
	documents, err := manifest.Split(content)
	if err != nil {
		return nil, err
	}
	for _, document := range documents {
		var is metav1.TypeMeta
		switch err := yaml.Unmarshal(document, &is); {
		case err != nil: // the text of a file of another kind, as a rule
			return nil, errNoPolicies
		case manifest.IsPolicy(document):
			err = found.addPolicy(document, namespace)
			if err != nil {
				return nil, err
			}
		case is.Kind == "":
			if err := found.addMap(document); err != nil {
				return nil, err
			}
		}
	}
	if len(found) == 0 {
		return nil, errNoPolicies
	}
	return found, nil
}

func (c choices) inNamespace(namespace string) *writeback.Policies {
	if c[namespace] == nil {
		c[namespace] = &writeback.Policies{
			Namespace: namespace, Chosen: map[string]edit.Image{}, Absent: map[string]edit.Reason{}, Held: map[string]bool{},
		}
	}
	return c[namespace]
}

func (c choices) addPolicy(document []byte, namespace string) error {
	p, err := manifest.ParsePolicy(document)
	if err != nil {
		return err
	}
	if p.Namespace == "" {
		p.Namespace = namespace
	}
	if p.Namespace == "" {
		return fmt.Errorf("ImagePolicy %s has no metadata.namespace: add it, or say which one with -n", p.Name)
	}
	ready := apimeta.FindStatusCondition(p.Status.Conditions, meta.ReadyCondition)
	in := c.inNamespace(p.Namespace)
	if p.Status.LatestRef == nil || ready != nil && ready.Status != metav1.ConditionTrue {
		in.Absent[p.Name] = writeback.NotReady
		return nil
	}
	in.Chosen[p.Name] = imageOf(*p.Status.LatestRef)
	return nil
}

func imageOf(ref imagev1.ImageRef) edit.Image {
	return edit.Image{Name: ref.Name, Tag: ref.Tag, Digest: ref.Digest}
}

func (c choices) addMap(document []byte) error {
	var lines map[string]string
	if err := json.Unmarshal(document, &lines); err != nil {
		return fmt.Errorf("a document without a kind must map namespace:name to image:tag: %w", err)
	}
	for key, ref := range lines {
		namespace, policy, ok := strings.Cut(key, ":")
		if !ok || namespace == "" || policy == "" || strings.Contains(policy, ":") {
			return fmt.Errorf("%q is not namespace:name", key)
		}
		image, err := parseImage(ref)
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		c.inNamespace(namespace).Chosen[policy] = image
	}
	return nil
}

var digestForm = regexp.MustCompile(`^[a-z0-9]+([+._-][a-z0-9]+)*:[0-9a-f]{32,}$`)

// parseImage reads name:tag[@digest] and keeps the name as it is spelled.
func parseImage(ref string) (edit.Image, error) {
	tagged, digest, pinned := strings.Cut(ref, "@")
	at := strings.LastIndexByte(tagged, ':')
	if at < strings.LastIndexByte(tagged, '/') || at < 0 {
		return edit.Image{}, fmt.Errorf("%q has no tag; it must be image:tag or image:tag@digest", ref)
	}
	if _, err := name.NewTag(tagged); err != nil {
		return edit.Image{}, fmt.Errorf("%q: %w", ref, err)
	}
	if pinned && !digestForm.MatchString(digest) {
		return edit.Image{}, fmt.Errorf("%q: %q is not a digest such as sha256:0123...", ref, digest)
	}
	return edit.Image{Name: tagged[:at], Tag: tagged[at+1:], Digest: digest}, nil
}
