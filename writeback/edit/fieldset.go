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
	r, err := f.read(content)
	if err != nil {
		return Image{}, err
	}
	var image Image
	for i, p := range r.places {
		value := p.value
		if p.registry != "" && value != "" {
			value = p.registry + "/" + value
		}
		image = image.or(ParsePart(value, f.targets[i].part))
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

// Set writes an image into the fields. Its outcomes name the part of the image; the caller knows
// which image, and adds it. The error is a [FieldError]; the content is returned as it is then,
// however many of the fields could have been written. The file is parsed once, and once
// more if it changes.
func (f Field) Set(content []byte, image Image) ([]byte, []MarkerResult, error) {
	before, err := f.read(content)
	if err != nil {
		return content, nil, err
	}
	var outcomes []MarkerResult
	var changes []replacement
	for i, p := range before.places {
		if p.why == MissingField { // which is optional, or there would be no reading
			continue
		}
		t := f.targets[i]
		o, why := t.plan(p, image)
		text := ""
		if why == "" && o.Changed() {
			text, why = f.format.write(o.span, o.New)
		}
		if why != "" {
			return content, nil, t.fail(p, why)
		}
		outcomes = append(outcomes, o)
		if o.Changed() {
			changes = append(changes, replacement{target: i, MarkerResult: o, text: text})
		}
	}
	if len(changes) == 0 {
		return content, outcomes, nil
	}
	edited, err := f.replace(content, before, changes)
	if err != nil {
		return content, nil, err
	}
	return edited, outcomes, nil
}

// read finds the places of the fields. It fails if there is one that can be neither read
// nor written.
func (f Field) read(content []byte) (fileValues, error) {
	switch {
	case len(content) > MaxSize:
		return fileValues{}, &FieldError{Field: f.targets[0].name, Why: TooLarge}
	case f.format.encrypted(content):
		return fileValues{}, &FieldError{Field: f.targets[0].name, Why: Encrypted}
	}
	targets := f.targets
	if f.entry != nil {
		targets = append(slices.Clip(targets), *f.entry)
	}
	r := f.format.read(content, targets)
	if f.entry != nil {
		entry := r.places[len(f.targets)]
		if entry.why != NotScalar {
			return fileValues{}, f.entry.fail(entry, cmp.Or(entry.why, MissingField))
		}
		r.places = r.places[:len(f.targets)]
	}
	return r, f.check(r.places)
}

// check looks whether all fields that there have to be can be read and written.
func (f Field) check(places []valueLocation) error {
	versioned := f.entry == nil
	for i, p := range places {
		t := f.targets[i]
		switch why := cmp.Or(p.why, t.mismatch(p)); {
		case why == MissingField && t.optional:
		case why != "":
			return t.fail(p, why)
		default:
			versioned = versioned || t.part != Name
		}
	}
	if !versioned {
		return &FieldError{Field: f.entry.name, Why: NoTagOrDigest}
	}
	return nil
}

// fail is the error of a target.
func (t target) fail(p valueLocation, why Reason) error {
	return &FieldError{Field: t.name, Line: p.span.node, Why: why}
}

// mismatch says why a value is not what a target may read or replace.
func (t target) mismatch(p valueLocation) Reason {
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
func (t target) plan(p valueLocation, image Image) (MarkerResult, Reason) {
	value := image.part(t.part)
	if value == "" || !canQuote(value) {
		return MarkerResult{}, MissingPart
	}
	if p.registry != "" {
		var found bool
		if value, found = strings.CutPrefix(value, p.registry+"/"); !found {
			return MarkerResult{}, OtherRegistry
		}
	}
	return MarkerResult{
		Line: p.span.node, Setter: Setter{Part: t.part}, Field: t.name, Object: p.object, Old: p.value, New: value, span: p.span,
	}, ""
}

// replacement is a value to write: the text is that of the file.
type replacement struct {
	MarkerResult
	target int
	text   string
}

// replace edits the places, and asks the format's parser what became of the file.
func (f Field) replace(content []byte, before fileValues, changes []replacement) ([]byte, error) {
	ordered := slices.SortedFunc(slices.Values(changes), func(a, b replacement) int { return cmp.Compare(a.span.start, b.span.start) })
	var edited []byte
	done := 0
	for _, c := range ordered {
		if c.span.start < done {
			return nil, f.targets[c.target].fail(before.places[c.target], SameField)
		}
		edited = append(append(edited, content[done:c.span.start]...), c.text...)
		done = c.span.end
	}
	edited = append(edited, content[done:]...)
	after := f.format.read(edited, f.targets)
	shift := 0
	outcomes := make([]MarkerResult, 0, len(ordered))
	for _, c := range ordered {
		t, p := f.targets[c.target], after.places[c.target]
		written := cmp.Or(p.why, t.mismatch(p)) == "" && p.value == c.New
		switch {
		case written && p.span.start == c.span.start+shift:
		case len(t.path) == 0 && !written:
			return nil, t.fail(before.places[c.target], NotFoundAgain)
		default:
			return nil, t.fail(before.places[c.target], Unsupported)
		}
		shift += len(c.text) - (c.span.end - c.span.start)
		outcomes = append(outcomes, c.MarkerResult)
	}
	if !f.format.onlyChanged(before, after, outcomes) {
		return nil, f.targets[ordered[0].target].fail(before.places[ordered[0].target], Unsupported)
	}
	return edited, nil
}
