// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/apply/inventory"
)

// Bounds of what is told about fields that nobody knows.
const (
	warnedObjects = 20
	warnedText    = 300 // characters for one object
)

// unknownFields says which fields an object has that its kind does not. An API server
// refuses them in an apply, but never sees those of the kinds of Kubernetes itself:
// objects are normalised by way of the types that this process was built with, as in
// Flux, which drops them without a word. The type of a CRD's object is not known here.
func unknownFields(u *unstructured.Unstructured) []string {
	if u.GroupVersionKind().Group == "rbac.authorization.k8s.io" {
		return nil // these stay as they are
	}
	typed, err := scheme.Scheme.New(u.GroupVersionKind())
	if err != nil {
		return nil
	}
	err = runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(u.Object, typed, true)
	strict, ok := runtime.AsStrictDecodingError(err)
	if !ok {
		return nil
	}
	var fields []string
	for _, field := range strict.Errors() {
		if text := field.Error(); strings.HasPrefix(text, "unknown field ") {
			fields = append(fields, text)
		}
	}
	return fields
}

// ignored says that fields of an object were left out, if that is news: the object was
// written, or it had other such fields before.
func ignored(id inventory.ID, left, next *decide.Applied) string {
	written := next.Action == decide.Created || next.Action == decide.Configured
	if next.Action == decide.Skipped || len(next.Unknown) == 0 || !written && (left == nil || slices.Equal(left.Unknown, next.Unknown)) {
		return ""
	}
	text := []rune(fmt.Sprintf("%s %s", id.Subject(), strings.Join(next.Unknown, ", ")))
	if len(text) > warnedText {
		text = append(text[:warnedText:warnedText], []rune("...")...)
	}
	return string(text)
}

// Ignored is what to tell of the fields that were left out of objects, "" if none was.
func (o *Outcome) Ignored() string {
	if len(o.ignored) == 0 {
		return ""
	}
	lines := o.ignored[:min(len(o.ignored), warnedObjects)]
	text := "left out what the kinds of these objects do not have, which may be misspelt:\n" + strings.Join(lines, "\n")
	if more := len(o.ignored) - len(lines); more > 0 {
		text += fmt.Sprintf("\nand of %d more objects", more)
	}
	return text
}
