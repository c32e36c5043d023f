// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
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
