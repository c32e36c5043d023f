// SPDX-License-Identifier: Apache-2.0

package build

import (
	"path"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/json"
	kustypes "sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"

	"github.com/sluice-cd/sluice/apply/inventory"
)

// Warning is about something that is built as it stands, although it is probably a mistake:
// upstream takes it without a word.
type Warning struct {
	// Reason is one of those below.
	Reason string
	// Text names the file, the object or the field, and what would help. It may quote values
	// that are secret.
	Text string
}

// Reasons of warnings.
const (
	// UnknownFields: a manifest has fields that its kind does not have. They are left out.
	UnknownFields = "UnknownFields"
	// NothingMatched: a patch, a replacement or an image changes nothing.
	NothingMatched = "NothingMatched"
)

// leftOut says what becomes of fields that nobody knows.
const leftOut = " (left out)"

// maxWarnings bounds how many warnings a build has.
const maxWarnings = 50

func (j *job) warn(reason, text string) {
	if len(j.warnings) < maxWarnings {
		j.warnings = append(j.warnings, Warning{Reason: reason, Text: text})
	}
}

// warnOfFields warns of fields that an object's kind does not have.
func (j *job) warnOfFields(u *unstructured.Unstructured) {
	if len(j.warnings) >= maxWarnings || j.overlay.masks && IsEncrypted(u) { // the field sops goes when it is decrypted
		return
	}
	fields := unknownFields(u)
	if fields == "" {
		return
	}
	where := inventory.ID{Namespace: u.GetNamespace(), Name: u.GetName(), Kind: u.GetKind()}.Subject()
	j.warn(UnknownFields, where+writtenIn(j.overlay.filesOf(u.GetKind(), u.GetName()))+": "+fields+leftOut)
}

// unknownInKustomization warns of fields that a kustomization file has and kustomize does not
// know. Of the file of the path it never sees them, since the fields of the spec are laid over
// it before; those of bases it refuses. A field whose letters are capitalised in another way
// is read as the one that it is, and not unknown.
func unknownInKustomization(name string, data []byte) []Warning {
	document, err := yaml.YAMLToJSON(data)
	if err != nil {
		return nil
	}
	unknown, err := json.UnmarshalStrict(document, &kustypes.Kustomization{})
	if err != nil {
		return nil
	}
	of := reflect.TypeFor[kustypes.Kustomization]()
	unknown = slices.DeleteFunc(unknown, func(found error) bool { return onlyCapitalised(of, found) })
	if fields := describeUnknown(unknown, of); fields != "" {
		return []Warning{{Reason: UnknownFields, Text: readablePath(name) + ": " + fields + leftOut}}
	}
	return nil
}

// readablePath is the path in the source of one that kustomize uses.
func readablePath(name string) string {
	if file, err := inTree(name); err == nil {
		return file
	}
	return path.Clean(name)
}

// describeTarget is a selector as people read it.
func describeTarget(s *kustypes.Selector) string {
	var parts []string
	add := func(what, value string) {
		if value != "" {
			parts = append(parts, what+" "+value)
		}
	}
	add("group", s.Group)
	add("version", s.Version)
	add("kind", s.Kind)
	add("name", s.Name)
	add("namespace", s.Namespace)
	add("labels", s.LabelSelector)
	add("annotations", s.AnnotationSelector)
	return strings.Join(parts, ", ")
}
