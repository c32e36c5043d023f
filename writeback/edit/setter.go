// SPDX-License-Identifier: Apache-2.0

package edit

import (
	"fmt"
	"strings"
)

// Part says which part of an image a field holds.
type Part string

// The parts a marker can ask for.
const (
	Reference Part = ""       // name:tag[@digest]
	Tag       Part = "tag"    // the tag alone
	Name      Part = "name"   // the name alone, registry included
	Digest    Part = "digest" // the digest alone, algorithm included
)

// Setter is what a marker refers to: a policy, and a part of its image.
type Setter struct {
	Namespace, Policy string
	Part              Part
}

// ParseSetter reads "namespace:name", optionally followed by ":tag", ":name"
// or ":digest".
func ParseSetter(s string) (Setter, error) {
	fields := strings.Split(s, ":")
	if len(fields) < 2 || len(fields) > 3 || fields[0] == "" || fields[1] == "" || strings.ContainsAny(s, " \t") {
		return Setter{}, fmt.Errorf("%q is not namespace:name[:tag|:name|:digest]", s)
	}
	setter := Setter{Namespace: fields[0], Policy: fields[1]}
	if len(fields) == 2 {
		return setter, nil
	}
	switch part := Part(fields[2]); part {
	case Tag, Name, Digest:
		setter.Part = part
		return setter, nil
	default:
		return Setter{}, fmt.Errorf("%q asks for %q, which is none of tag, name and digest", s, fields[2])
	}
}

// String is the setter as a marker spells it.
func (s Setter) String() string {
	if s.Part == Reference {
		return s.Namespace + ":" + s.Policy
	}
	return s.Namespace + ":" + s.Policy + ":" + string(s.Part)
}

// Image is what a policy chose. Digest may be empty.
type Image struct {
	Name, Tag, Digest string
}

// part is the text that a field holding this part of the image should have,
// empty when the image has no such part.
func (i Image) part(p Part) string {
	switch p {
	case Tag:
		return i.Tag
	case Name:
		return i.Name
	case Digest:
		return i.Digest
	}
	if i.Name == "" || i.Tag == "" {
		return ""
	}
	if i.Digest == "" {
		return i.Name + ":" + i.Tag
	}
	return i.Name + ":" + i.Tag + "@" + i.Digest
}

// Images are the chosen images of one namespace, by policy name. Markers of
// other namespaces are none of its business.
type Images struct {
	Namespace string
	ByPolicy  map[string]Image
}
