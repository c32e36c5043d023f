// SPDX-License-Identifier: Apache-2.0

// Package inventory is the arithmetic of what an owner, such as a Kustomization, has applied.
//
// The inventory is the list of objects that an apply left in the cluster. It is
// kept in the owner's status as pairs of an id and an API version:
//
//	id: default_podinfo_apps_Deployment    v: v1
//	id: _system__basic__user_rbac.authorization.k8s.io_ClusterRole    v: v1
//
// An id is namespace, name, group and kind joined by underscores, which none of
// namespace, group and kind may contain. Names of RBAC objects may contain
// colons; an id spells each as two underscores. The form is the one that
// kustomize-controller writes, so that an inventory can change hands in either
// direction without an object being orphaned.
//
// What was in the previous inventory and is not in the next one is stale, and
// subject to pruning.
package inventory

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// ErrMalformed marks an id that does not have four parts.
var ErrMalformed = errors.New("malformed inventory id")

const (
	separator = "_"
	colon     = "__"
	rbacGroup = "rbac.authorization.k8s.io"
)

// ID names an object across API versions.
type ID struct {
	Namespace, Name, Group, Kind string
}

// IDOf returns the id of an object.
func IDOf(u *unstructured.Unstructured) ID {
	gvk := u.GroupVersionKind()
	return ID{Namespace: u.GetNamespace(), Name: u.GetName(), Group: gvk.Group, Kind: gvk.Kind}
}

// Entry is an object in an inventory, with the API version it was applied as.
type Entry struct {
	ID
	Version string
}

// Parse reads an id as it is stored. Two underscores within a name are read as
// a colon whatever the kind, as upstream does.
func Parse(s string) (ID, error) {
	namespace, rest, ok := strings.Cut(s, separator)
	if !ok {
		return ID{}, fmt.Errorf("%w: %q", ErrMalformed, s)
	}
	rest, kind, ok := cutLast(rest)
	if !ok {
		return ID{}, fmt.Errorf("%w: %q", ErrMalformed, s)
	}
	name, group, ok := cutLast(rest)
	if !ok {
		return ID{}, fmt.Errorf("%w: %q", ErrMalformed, s)
	}
	return ID{
		Namespace: namespace,
		Name:      strings.ReplaceAll(name, colon, ":"),
		Group:     group,
		Kind:      kind,
	}, nil
}

// cutLast slices s around its last separator.
func cutLast(s string) (before, after string, found bool) {
	i := strings.LastIndex(s, separator)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(separator):], true
}

// String is the id as it is stored.
func (id ID) String() string {
	name := id.Name
	if id.isRBAC() {
		name = strings.ReplaceAll(name, ":", colon)
	}
	return strings.Join([]string{id.Namespace, name, id.Group, id.Kind}, separator)
}

// Subject is the id as events and messages show it: Kind/namespace/name.
func (id ID) Subject() string {
	if id.Namespace == "" {
		return id.Kind + "/" + id.Name
	}
	return id.Kind + "/" + id.Namespace + "/" + id.Name
}

func (id ID) isRBAC() bool {
	if id.Group != rbacGroup {
		return false
	}
	switch id.Kind {
	case "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding":
		return true
	}
	return false
}

// Diff returns the entries of before whose object is not in after, in the order
// of before. A changed API version alone does not make an object stale.
func Diff(before, after []Entry) []Entry {
	kept := make(map[ID]bool, len(after))
	for _, e := range after {
		kept[e.ID] = true
	}
	var stale []Entry
	for _, e := range before {
		if !kept[e.ID] {
			kept[e.ID] = true // a duplicate is pruned once
			stale = append(stale, e)
		}
	}
	return stale
}

// Union returns a, followed by the entries of b whose object is not in a.
func Union(a, b []Entry) []Entry {
	return append(slices.Clip(slices.Clone(a)), Diff(b, a)...)
}
