package edit

import (
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Why a marker that can be written is held: it asks for what the field cannot be.
// The writer of the marker left out a part, or chose the wrong one, and the image
// that comes of it cannot be pulled.
const (
	NeedsTag    Reason = "the field holds a tag, for which the marker has to end with :tag"
	NeedsName   Reason = "the field holds a name without a tag, for which the marker has to end with :name"
	NeedsDigest Reason = "the field holds a digest, for which the marker has to end with :digest"
	NeedsAll    Reason = "the field holds a whole image reference, for which the marker must not ask for a part"
	HoldsMore   Reason = "the value is more than an image, which would be lost"

	Encrypted Reason = "the value is encrypted with SOPS, or covered by its MAC: nobody could decrypt the file any more"
)

// Held tells whether the reason is that writing the value would break what it is
// in.
func (r Reason) Held() bool {
	switch r {
	case NeedsTag, NeedsName, NeedsDigest, NeedsAll, HoldsMore, Encrypted:
		return true
	}
	return false
}

// site is what is known of the field that a marker sets.
type site struct {
	key    string // of the mapping or, where that is "value", the name beside it
	apart  bool   // there is another field for the tag or the digest beside it
	kustom bool   // it is in a kustomization
}

// siteOf describes where a value is.
func siteOf(at located) site {
	s := site{key: at.key, kustom: at.object.Kind == "Kustomization" || at.object.Kind == "Component"}
	if at.mapping == nil {
		return s
	}
	// Nobody writes an image beside hundreds of other fields.
	fields := at.mapping.Content[:min(len(at.mapping.Content), 2*maxBeside)]
	for i := 0; i+1 < len(fields); i += 2 {
		name, value := fields[i].Value, fields[i+1]
		if value == at.node || value.Kind != yaml.ScalarNode || value.Value == "" {
			continue
		}
		switch name {
		case "name":
			if at.key == "value" {
				s.key = value.Value
			}
		case "tag", "digest", "newTag", "imageTag":
			s.apart = true
		}
	}
	return s
}

// maxBeside is how many fields of a mapping are looked at.
const maxBeside = 200

// What a field holds, by its name.
var (
	tagKey    = regexp.MustCompile(`^(?:.*[._-])?(?:tag|TAG)$|^.*[a-z0-9]Tag$`)
	digestKey = regexp.MustCompile(`^(?:.*[._-])?(?:digest|DIGEST)$|^.*[a-z0-9]Digest$`)
	nameKey   = regexp.MustCompile(`^(?:.*[._-])?(?:repository|REPOSITORY|newName)$|^.*[a-z0-9]Repository$`)
	imageKey  = regexp.MustCompile(`^(?:.*[._-])?(?:image|IMAGE)$|^.*[a-z0-9]Image$`)

	// more are a variable with its name, and an address.
	more = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*=|^[a-z][a-z0-9+.-]*://`)
)

// fits says why a part of an image is not what the field holds now. A field that
// has what its name does not say, such as a whole reference in a field "tag", is
// someone's way of doing it.
func (s site) fits(part Part, value string) Reason {
	whole := strings.ContainsAny(value, "/:@")
	switch {
	case more.MatchString(value):
		return HoldsMore
	case tagKey.MatchString(s.key):
		if part != Tag && (!whole || s.key == "newTag" || s.kustom) {
			return NeedsTag
		}
	case digestKey.MatchString(s.key):
		if part != Digest && (!strings.ContainsAny(value, "/@") || s.kustom) {
			return NeedsDigest
		}
	case nameKey.MatchString(s.key):
		return s.fitsName(part, value)
	case imageKey.MatchString(s.key) && part != Name && part != Reference && whole:
		return NeedsAll
	case imageKey.MatchString(s.key) && part == Reference && s.apart && !tagged(value):
		return NeedsName
	}
	return ""
}

func (s site) fitsName(part Part, value string) Reason {
	only := s.key == "newName" || s.kustom
	switch {
	case part == Name:
		return ""
	case part == Tag || part == Digest || only || s.apart && !tagged(value):
		return NeedsName
	}
	return ""
}

// tagged tells whether a reference has a tag or a digest.
func tagged(value string) bool {
	return strings.Contains(value[strings.LastIndexByte(value, '/')+1:], ":") || strings.Contains(value, "@")
}

// encrypted tells whether a file is one of SOPS whose MAC covers values that are not
// encrypted. The metadata is in every document that SOPS wrote.
func encrypted(content []byte) bool {
	if !sopsKey.Match(content) {
		return false
	}
	for _, d := range splitDocuments(content) {
		text := d.text(content)
		if !sopsKey.Match(text) || len(text) > MaxDocument || nodesOf(text) > maxNodes {
			continue
		}
		documents, err := decode(text)
		if err != nil {
			return true // as far as anybody can tell
		}
		for _, document := range documents {
			for _, root := range document.Content {
				if covers(member(root, "sops")) {
					return true
				}
			}
		}
	}
	return false
}

// covers tells whether SOPS checks all values, encrypted or not.
func covers(metadata *yaml.Node) bool {
	return metadata != nil && text(metadata, "mac") != "" && text(metadata, "mac_only_encrypted") != "true"
}

var sopsKey = regexp.MustCompile(`(?m)^["']?sops["']?[ \t]*:|^\{.*["']?sops["']?[ \t]*:`)
