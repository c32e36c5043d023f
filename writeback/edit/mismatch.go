// SPDX-License-Identifier: Apache-2.0

package edit

import (
	"bytes"
	"encoding/base64"
	"regexp"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// Why a marker that can be written is held: it asks for what the field cannot be.
// The writer of the marker left out a part, or chose the wrong one, and the image
// that comes of it cannot be pulled.
const (
	NeedsTag     Reason = "the field holds a tag, for which the marker has to end with :tag"
	NeedsVersion Reason = "the field holds a version, for which the marker has to end with :tag"
	NeedsName    Reason = "the field holds a name without a tag, for which the marker has to end with :name"
	NeedsDigest  Reason = "the field holds a digest, for which the marker has to end with :digest"
	NeedsAll     Reason = "the field holds a whole image reference, for which the marker must not ask for a part"
	HoldsMore    Reason = "the value is more than an image, which would be lost"

	Base64    Reason = "the value is in base64, which the image is not: move the field to stringData, or to data of a ConfigMap"
	Encoded   Reason = "the value looks like base64, which the image is not: write it in plain text, and encode it where it is used"
	Encrypted Reason = "the value is encrypted with SOPS, or covered by its MAC: nobody could decrypt the file any more"
)

// Held tells whether the reason is that writing the value would break what it is
// in.
func (r Reason) Held() bool {
	switch r {
	case NeedsTag, NeedsVersion, NeedsName, NeedsDigest, NeedsAll, HoldsMore, Base64, Encoded, Encrypted:
		return true
	}
	return false
}

// markerSite is what is known of the field that a marker sets.
type markerSite struct {
	key    string // of the mapping or, where that is "value", the name beside it
	apart  bool   // there is another field for the tag or the digest beside it
	kustom bool   // it is in a kustomization
	base64 bool   // the API server takes nothing but base64 there
}

// siteOf describes where a value is.
func siteOf(at valueNode) markerSite {
	s := markerSite{key: at.key, kustom: at.object.Kind == "Kustomization" || at.object.Kind == "Component"}
	if at.mapping == nil {
		return s
	}
	s.base64 = at.object.Kind == "Secret" && at.within == "data" || at.object.Kind == "ConfigMap" && at.within == "binaryData"
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

// holds tells whether the name of a field says that it holds something: "tag",
// "TAG", "image.tag", "IMAGE_TAG", "imageTag" and the label "example.com/tag" do for
// "tag", and "stage" does not.
func (s markerSite) holds(word string) bool {
	for _, spelt := range []string{word, strings.ToUpper(word)} {
		if front, ok := strings.CutSuffix(s.key, spelt); ok {
			return front == "" || strings.ContainsRune("._-/", rune(front[len(front)-1]))
		}
	}
	front, ok := strings.CutSuffix(s.key, strings.ToUpper(word[:1])+word[1:])
	return ok && front != "" && !unicode.IsUpper(rune(front[len(front)-1]))
}

// isMoreThanAVersion tells whether a value is a variable with its name, or an address. A range of
// versions, such as ">=1.0", is neither.
func isMoreThanAVersion(value string) bool {
	name, _, found := strings.Cut(value, "=")
	return found && !strings.ContainsAny(name, "/:@ <>!~^") && name != "" || strings.Contains(value, "://")
}

// encoded tells whether a value is base64 of something, whatever it is in: an image, a tag or a
// version has no padding and is not longer than those can be, and few are what others decode to.
func encoded(value string) bool {
	for _, coding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawStdEncoding, base64.RawURLEncoding} {
		text, err := coding.Strict().DecodeString(value)
		switch {
		case err != nil || len(value) < minEncoded:
		case strings.HasSuffix(value, "="), len(value) > maxPlain, plainImage.Match(text):
			return true
		}
	}
	return false
}

const (
	minEncoded = 4
	// maxPlain is how long a tag may be. A longer reference has a colon, a dot or an at sign, a
	// longer digest a colon.
	maxPlain = 128
)

// plainImage is what base64 of a version, a reference or a digest decodes to. Without a dot or a
// colon, a word may be one by accident.
var plainImage = regexp.MustCompile(`^(v?\d+(\.\d+)+([-+_.][-+_.0-9A-Za-z]*)?|[-._a-z0-9]+([:/][-._a-zA-Z0-9]+)*[:/][-._@:a-zA-Z0-9]+)\n?$`)

// loses says why nothing can be written over a value, whatever it is.
func (s markerSite) loses(value string) Reason {
	switch {
	case s.base64:
		return Base64
	case encoded(value):
		return Encoded
	case isMoreThanAVersion(value):
		return HoldsMore
	}
	return ""
}

// fits says why a part of an image is not what the field holds now. A field that
// has what its name does not say, such as a whole reference in a field "tag", is
// someone's way of doing it.
func (s markerSite) fits(part Part, value string) Reason {
	if why := s.loses(value); why != "" {
		return why
	}
	switch {
	case part != Tag && s.holds("tag"):
		return s.fitsTag(value)
	case part != Tag && s.holds("version"):
		return fitsVersion(value)
	case s.holds("digest"):
		if part != Digest && (!strings.ContainsAny(value, "/@") || s.kustom) {
			return NeedsDigest
		}
	case s.holds("repository"), s.holds("newName"), s.kustom && s.key == "name" && part == Reference:
		return s.fitsName(part, value)
	case s.holds("image"):
		return s.fitsImage(part, value)
	}
	return ""
}

// fitsTag is for fields that hold a tag, and get more than one.
func (s markerSite) fitsTag(value string) Reason {
	if strings.ContainsAny(value, "/:@") && s.key != "newTag" && !s.kustom {
		return ""
	}
	return NeedsTag
}

// fitsVersion is for fields that hold the version of a chart, say, or of what has a label,
// and get more than a tag.
func fitsVersion(value string) Reason {
	if strings.ContainsAny(value, "/:@") {
		return ""
	}
	return NeedsVersion
}

// fitsImage is for fields that hold whole references or, beside a tag, names.
func (s markerSite) fitsImage(part Part, value string) Reason {
	switch {
	case (part == Tag || part == Digest) && strings.ContainsAny(value, "/:@"):
		return NeedsAll
	case part == Reference && s.apart && !tagged(value):
		return NeedsName
	}
	return ""
}

func (s markerSite) fitsName(part Part, value string) Reason {
	only := s.key == "newName" || s.kustom // an image of a kustomization is found by its name
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
	// The expression looks at every byte by itself: most files have no such word at all.
	if !bytes.Contains(content, []byte("sops")) {
		return false
	}
	for _, d := range splitDocuments(content) {
		text := d.text(content)
		if !sopsWord.Match(text) || len(text) > MaxDocument || nodesOf(text) > maxNodes {
			continue
		}
		documents, err := decode(text)
		if err != nil && sopsKey.Match(text) {
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

// sopsWord may be a key, of whatever mapping: behind a byte order mark, a tag or a
// question mark too.
var sopsWord = regexp.MustCompile(`(?m)\bsops["']?[ \t]*(:|\r?$)`)

// sopsKey is one of the document, where that cannot be parsed.
var sopsKey = regexp.MustCompile(`(?m)^["']?sops["']?[ \t]*:|^\{.*["']?sops["']?[ \t]*:`)
