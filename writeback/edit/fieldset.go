// SPDX-License-Identifier: Apache-2.0

package edit

import (
	"cmp"
	"slices"
	"strings"
)

// Get reads what the fields say of an image now: the parts that they hold. Fields
// that are empty say nothing. The error is a [FieldError].
func (f Field) Get(content []byte) (Image, error) {
	var image Image
	_, err := f.each(content, func(content []byte, t target, p place) ([]byte, Reason) {
		value := p.value
		if p.registry != "" && value != "" {
			value = p.registry + "/" + value
		}
		image = image.or(ParsePart(value, t.part))
		return content, ""
	})
	if err != nil {
		return Image{}, err
	}
	return image, nil
}

// or is the image with the parts that it lacks from another.
func (i Image) or(other Image) Image {
	return Image{Name: cmp.Or(i.Name, other.Name), Tag: cmp.Or(i.Tag, other.Tag), Digest: cmp.Or(i.Digest, other.Digest)}
}

// ParsePart is what the value of a field that holds a part says of an image.
func ParsePart(value string, part Part) Image {
	switch part {
	case Tag:
		return Image{Tag: value}
	case Name:
		return Image{Name: value}
	case Digest:
		return Image{Digest: value}
	}
	name, digest, _ := strings.Cut(value, "@")
	tag := ""
	if colon := strings.LastIndex(name, ":"); colon > strings.LastIndex(name, "/") {
		name, tag = name[:colon], name[colon+1:]
	}
	return Image{Name: name, Tag: tag, Digest: digest}
}

// Set writes an image into the fields. Its outcomes name the part, and whoever calls
// it says of what. The error is a [FieldError]; the content is returned as it is then,
// however many of the fields could have been written.
func (f Field) Set(content []byte, image Image) ([]byte, []Outcome, error) {
	var outcomes []Outcome
	edited, err := f.each(content, func(content []byte, t target, p place) ([]byte, Reason) {
		o, why := f.plan(t, p, image)
		if why != "" {
			return nil, why
		}
		outcomes = append(outcomes, o)
		if !o.Changed() {
			return content, ""
		}
		return f.replace(content, t, o)
	})
	if err != nil {
		return content, nil, err
	}
	return edited, outcomes, nil
}

// each visits the places of the fields, which may edit the content.
func (f Field) each(content []byte, visit func([]byte, target, place) ([]byte, Reason)) ([]byte, error) {
	if err := f.check(content); err != nil {
		return nil, err
	}
	versioned := f.entry == nil
	for _, t := range f.targets {
		p, why := f.format.locate(content, t)
		if why == MissingField && t.optional {
			continue
		}
		edited := content
		if why = cmp.Or(why, unfit(t, p)); why == "" {
			edited, why = visit(content, t, p)
		}
		if why != "" {
			return nil, &FieldError{Field: t.name, Line: p.span.node, Why: why}
		}
		content = edited
		versioned = versioned || t.part != Name
	}
	if !versioned {
		return nil, &FieldError{Field: f.entry.name, Why: NoTagOrDigest}
	}
	return content, nil
}

// check looks at the file as a whole.
func (f Field) check(content []byte) error {
	switch {
	case len(content) > MaxSize:
		return &FieldError{Field: f.targets[0].name, Why: TooLarge}
	case f.format.encrypted(content):
		return &FieldError{Field: f.targets[0].name, Why: Encrypted}
	case f.entry == nil:
		return nil
	}
	if p, why := f.format.locate(content, *f.entry); why != NotScalar {
		return &FieldError{Field: f.entry.name, Line: p.span.node, Why: cmp.Or(why, MissingField)}
	}
	return nil
}

// unfit says why a value is not what a target may read or replace.
func unfit(t target, p place) Reason {
	front, _, pinned := strings.Cut(p.value, "@")
	switch {
	case strings.HasPrefix(p.value, "ENC["):
		return Encrypted
	case strings.Contains(p.value, "{{"), strings.Contains(p.value, "}}"), strings.Contains(p.value, "${"):
		return Template
	case t.part == Tag && strings.ContainsAny(front, "/:"),
		t.part == Digest && strings.ContainsAny(p.value, "/@"),
		t.part == Name && tagged(p.value):
		return NeedsAll
	case t.part == Tag && pinned:
		return HoldsMore
	}
	return p.site.fits(t.part, p.value)
}

// plan says what becomes of the value in a place.
func (f Field) plan(t target, p place, image Image) (Outcome, Reason) {
	value := image.part(t.part)
	if value == "" || !canQuote(value) {
		return Outcome{}, MissingPart
	}
	if p.registry != "" {
		var found bool
		if value, found = strings.CutPrefix(value, p.registry+"/"); !found {
			return Outcome{}, OtherRegistry
		}
	}
	return Outcome{
		Line: p.span.node, Setter: Setter{Part: t.part}, Field: t.name, Object: p.object, Old: p.value, New: value, span: p.span,
	}, ""
}

// replace edits one place, and asks the format's parser what became of the file.
func (f Field) replace(content []byte, t target, o Outcome) ([]byte, Reason) {
	text, why := f.format.write(o.span, o.New)
	if why != "" {
		return nil, why
	}
	edited := slices.Concat(content[:o.span.start], []byte(text), content[o.span.end:])
	if !f.format.onlyChanged(content, edited, o) {
		return nil, Unsupported
	}
	p, why := f.format.locate(edited, t)
	why = cmp.Or(why, unfit(t, p))
	switch {
	case len(t.path) == 0 && (why != "" || p.value != o.New):
		return nil, NotFoundAgain
	case why != "" || p.value != o.New || p.span.start != o.span.start:
		return nil, Unsupported
	}
	return edited, ""
}
