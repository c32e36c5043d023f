// SPDX-License-Identifier: Apache-2.0

package build

import (
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strings"

	apikustomize "github.com/fluxcd/pkg/apis/kustomize"
	kustypes "sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"
)

// checkPatch refuses what kustomize would take for no patch, in words that are not
// about its own plugins.
func checkPatch(o *overlay, p apikustomize.Patch) error {
	if _, err := o.weigh([]byte(p.Patch)); err != nil {
		return err
	}
	var patch any
	if err := yaml.Unmarshal([]byte(p.Patch), &patch); err != nil {
		return fmt.Errorf("decoding patch: %w", err)
	}
	switch patch.(type) {
	case map[string]any:
		return nil
	case []any:
		if p.Target == nil {
			return errors.New("a JSON 6902 patch needs a target")
		}
		if text := strings.TrimSpace(p.Patch); text[0] == '[' && !json.Valid([]byte(text)) {
			return errors.New("a JSON 6902 patch in brackets has to be JSON; in YAML, begin each operation with a dash")
		}
		return nil
	}
	return errors.New("patch is neither a strategic merge patch, which is an object, nor a JSON 6902 patch, which is a list of operations")
}

func selector(s *apikustomize.Selector) *kustypes.Selector {
	if s == nil {
		return nil
	}
	out := &kustypes.Selector{LabelSelector: s.LabelSelector, AnnotationSelector: s.AnnotationSelector}
	out.Group, out.Version, out.Kind = s.Group, s.Version, s.Kind
	out.Name, out.Namespace = s.Name, s.Namespace
	return out
}

// attribute names the patch of the spec by which kustomize failed, which kustomize itself
// does not: without it, and those after it, the build does not fail in this way. Builds
// that are isolated cost too much to be repeated.
func (j *job) attribute(failure error) error {
	total := len(j.spec.Patches)
	if total == 0 || j.isolated || j.overlay.refusal.first != nil {
		return failure
	}
	defer func() { j.overlay.refusal.first = nil }() // the failure is that of the whole build
	fails := func(patches int) bool {
		err := j.repeat(patches)
		return err != nil && err.Error() == failure.Error()
	}
	if fails(0) {
		return failure
	}
	culprit := sort.Search(total-1, func(i int) bool { return fails(i + 1) })
	if j.overlay.ended() != nil {
		return failure
	}
	return fmt.Errorf("spec.patches[%d]: %w", culprit, failure)
}

// repeat builds once more, with the first of the spec's patches only. They are the last
// of the kustomization file.
func (j *job) repeat(patches int) error {
	var kus kustypes.Kustomization
	if err := yaml.Unmarshal(j.content, &kus); err != nil {
		return err
	}
	kus.Patches = kus.Patches[:len(kus.Patches)-len(j.spec.Patches)+patches]
	content, err := yaml.Marshal(kus)
	if err != nil {
		return err
	}
	j.overlay.write(j.file, content)
	_, err = j.resources()
	return err
}
