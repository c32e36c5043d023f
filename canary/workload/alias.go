// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/rand"
)

// Flagger names a version after the Go structs that it reads it into: 32 bits of
// FNV-1a over a dump of them with all their types and fields, in digits that spell
// no words. Such an alias means something to one release of Flagger only, and it
// leaves out configuration: Sluice decides by digests. It keeps aliases in the
// status beside them, for Flagger to see after a hand-back that nothing has
// changed, and reads those that Flagger left for its own sake.
//
// unknownFields are the fields of Kubernetes that we know and Flagger 1.44 does
// not, by their structs. A test holds the rest to the structs that it has.
var unknownFields = map[string][]string{
	"v1.ClusterTrustBundleProjection":  {"User"},
	"v1.ConfigMapVolumeSource":         {"DefaultUser"},
	"v1.DownwardAPIVolumeFile":         {"User"},
	"v1.DownwardAPIVolumeSource":       {"DefaultUser"},
	"v1.EmptyDirVolumeSource":          {"Mode"},
	"v1.GRPCAction":                    {"Mode"},
	"v1.HTTPGetAction":                 {"Protocol"},
	"v1.KeyToPath":                     {"User"},
	"v1.PodCertificateProjection":      {"User"},
	"v1.PodSpec":                       {"EvictionResponders"},
	"v1.ProjectedVolumeSource":         {"DefaultUser"},
	"v1.SecretVolumeSource":            {"DefaultUser"},
	"v1.ServiceAccountTokenProjection": {"User"},
	"v1.VolumeMount":                   {"BindMountOptions"},
}

// aliasOf is what Flagger calls what is read into the typed value.
func aliasOf(from map[string]any, typed any) (string, error) {
	encoded, err := json.Marshal(from)
	if err != nil {
		return "", fmt.Errorf("encoding for Flagger: %w", err)
	}
	if err := json.Unmarshal(encoded, typed); err != nil {
		return "", fmt.Errorf("reading as Flagger does: %w", err)
	}
	hash := fnv.New32a()
	dumpTyped(hash, reflect.ValueOf(typed).Elem())
	return rand.SafeEncodeString(fmt.Sprint(hash.Sum32())), nil
}

// templateAlias is that of a pod template of a Deployment.
func templateAlias(template map[string]any) (string, error) {
	return aliasOf(template, &corev1.PodTemplateSpec{})
}

// nodesAlias is that of a pod template of a DaemonSet, which always has a node
// selector, if only an empty one.
func nodesAlias(template map[string]any) (string, error) {
	typed := &corev1.PodTemplateSpec{}
	typed.Spec.NodeSelector = map[string]string{}
	return aliasOf(template, typed)
}

// dumpTyped writes a value as Go's most verbose dumpers do: with its type and those of
// its fields, but not those of the elements of lists and maps, and without addresses.
func dumpTyped(w io.Writer, v reflect.Value) {
	_, _ = fmt.Fprintf(w, "(%s)", v.Type())
	switch {
	case v.Kind() != reflect.Pointer:
		dumpUntyped(w, v)
	case v.IsNil():
		_, _ = io.WriteString(w, "<nil>")
	default:
		dumpUntyped(w, v.Elem())
	}
}

// dumpUntyped is dumpTyped without the type of the value itself.
func dumpUntyped(w io.Writer, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		dumpPointer(w, v)
	case reflect.Struct:
		dumpStruct(w, v)
	case reflect.Slice, reflect.Array, reflect.Map:
		dumpElements(w, v)
	default:
		dumpScalar(w, v)
	}
}

func dumpPointer(w io.Writer, v reflect.Value) {
	if v.IsNil() {
		_, _ = io.WriteString(w, "<nil>")
		return
	}
	_, _ = io.WriteString(w, "<*>")
	dumpUntyped(w, v.Elem())
}

func dumpStruct(w io.Writer, v reflect.Value) {
	separator := "{"
	for i := range v.NumField() {
		field := v.Type().Field(i).Name
		if slices.Contains(unknownFields[v.Type().String()], field) {
			continue
		}
		_, _ = io.WriteString(w, separator+field+":")
		dumpTyped(w, v.Field(i))
		separator = " "
	}
	_, _ = io.WriteString(w, "}")
}

// dumpElements tells a list or a map that is missing from an empty one. Keys are
// sorted: all are text.
func dumpElements(w io.Writer, v reflect.Value) {
	if v.Kind() != reflect.Array && v.IsNil() {
		_, _ = io.WriteString(w, "<nil>")
		return
	}
	if v.Kind() != reflect.Map {
		_, _ = io.WriteString(w, "[")
		for i := range v.Len() {
			if i > 0 {
				_, _ = io.WriteString(w, " ")
			}
			dumpUntyped(w, v.Index(i))
		}
		_, _ = io.WriteString(w, "]")
		return
	}
	keys := slices.SortedFunc(slices.Values(v.MapKeys()), func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	_, _ = io.WriteString(w, "map[")
	for i, key := range keys {
		if i > 0 {
			_, _ = io.WriteString(w, " ")
		}
		_, _ = io.WriteString(w, key.String()+":")
		dumpUntyped(w, v.MapIndex(key))
	}
	_, _ = io.WriteString(w, "]")
}

func dumpScalar(w io.Writer, v reflect.Value) {
	switch {
	case v.Kind() == reflect.String:
		_, _ = io.WriteString(w, v.String())
	case v.Kind() == reflect.Bool:
		_, _ = fmt.Fprint(w, v.Bool())
	case v.CanInt():
		_, _ = fmt.Fprint(w, v.Int())
	case v.CanUint():
		_, _ = fmt.Fprint(w, v.Uint())
	}
}

// revisionAlias is that of a Revision of Knative, by its name.
func revisionAlias(name string) string {
	hash := fnv.New32a()
	dumpTyped(hash, reflect.ValueOf(name))
	return rand.SafeEncodeString(fmt.Sprint(hash.Sum32()))
}
