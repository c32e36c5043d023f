// SPDX-License-Identifier: Apache-2.0

package build

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// What kustomize says is about its own steps. These are the parts of it that people need:
// the file, the object and what is wrong.
var (
	// steps are what it tried one after the other, since a resource can be many things.
	steps = regexp.MustCompile(`(?:accumulating resources: )*accumulation err='(.*)': ` +
		`must build at directory: '([^']*)': file is not directory`)
	inResult  = regexp.MustCompile(`^(?:accumulating|merging) resources from '[^']*': `)
	duplicate = regexp.MustCompile(`may not add resource with an already registered id: ([^\s/]+)/([^\s']+)`)
	malformed = regexp.MustCompile(`MalformedYAMLError: .* in File: (\S+)`)
	// configured is the configuration of one of its plugins.
	configured = regexp.MustCompile("(?s)trouble configuring builtin (\\w+) with config: `.*?`: ")
	unmatched  = regexp.MustCompile(`no resource matches strategic merge patch "([^\s/]+)/([^\s"]+)": .*`)
	nameless   = regexp.MustCompile(`missing metadata\.name in object \{\{(\S*) (\S*)\} .*\}`)
	resourceID = regexp.MustCompile(`\b(\w+)\.(?:\[noVer\]|\w+)\.(?:\[noGrp\]|[\w.-]+)/([^\s"',;]+)\.\[noNs\]`)
	yamlLine   = regexp.MustCompile(`^yaml: line (\d+): `)
)

// plain is an error of kustomize that names the file, the object and what helps.
func (j *job) plain(err error) error {
	text := err.Error()
	if found := steps.FindStringSubmatch(text); found != nil {
		inner := inResult.ReplaceAllString(found[1], "")
		text = strings.Replace(text, found[0], readablePath(found[2])+": "+inner, 1)
	}
	text = configured.ReplaceAllString(text, "$1: ")
	if found := duplicate.FindStringSubmatch(text); found != nil {
		kind, name := identified(found[1], found[2])
		text = explainDuplicate(kind, name, j.overlay.filesOf(kind, name))
	}
	if found := malformed.FindStringSubmatch(text); found != nil {
		text = j.overlay.explainYAML(text, found[0], found[1])
	}
	if found := unmatched.FindStringSubmatch(text); found != nil {
		kind, name := identified(found[1], found[2])
		where := ""
		if !strings.HasPrefix(text, "spec.") {
			where = j.overlay.patchOf(kind, name)
		}
		text = strings.Replace(text, found[0], fmt.Sprintf(
			"no resource matches the patch of %s %s%s: its kind, name and namespace have to be those of a resource", kind, name, where), 1)
	}
	if found := nameless.FindStringSubmatch(text); found != nil {
		text = strings.Replace(text, found[0], fmt.Sprintf("an object has no metadata.name (apiVersion %q, kind %q)", found[1], found[2]), 1)
	}
	text = resourceID.ReplaceAllString(text, "$1 $2")
	if text == err.Error() {
		return err
	}
	return plainError{text: text, error: err}
}

// plainError is an error in other words.
type plainError struct {
	text string
	error
}

func (e plainError) Error() string { return e.text }
func (e plainError) Unwrap() error { return e.error }

// identified splits an ID of kustomize: Deployment.v1.apps and web.[noNs], or web.prod. An
// object's own name may have dots.
func identified(kind, name string) (string, string) {
	kind, _, _ = strings.Cut(kind, ".")
	if at := strings.LastIndex(name, "."); at > 0 {
		name = name[:at]
	}
	return kind, name
}

func explainDuplicate(kind, name string, files []string) string {
	switch {
	case len(files) == 0:
		return fmt.Sprintf("%s %s is there twice: rename or remove one of the two", kind, name)
	case len(slices.Compact(slices.Clone(files))) == 1:
		return fmt.Sprintf("%s %s is there twice, of %s: remove one of the two objects, or of the paths that lead there", kind, name, files[0])
	}
	files = slices.Compact(files)
	return fmt.Sprintf("%s %s is there twice, of %s: rename or remove one of them, or list what to apply in a kustomization.yaml",
		kind, name, strings.Join(files[:min(len(files), 3)], " and "))
}

// explainYAML says in which line of which file the YAML is wrong. The parser counts from the
// beginning of the document, and often from 0.
func (o *overlay) explainYAML(text, all, ref string) string {
	for _, file := range slices.Compact(o.manifestFiles()) {
		if file != path.Clean(ref) && !strings.HasSuffix(file, "/"+path.Clean(ref)) && !strings.HasPrefix(ref, "../") {
			continue
		}
		if where := wrongYAML(o.contentOf(file)); where != "" {
			return "decoding " + file + ": " + where
		}
	}
	return strings.Replace(text, all, ref+" is no valid YAML", 1)
}

// wrongYAML says what is wrong with a file, and in which line; "" if it is right.
func wrongYAML(data []byte) string {
	before := 0
	for _, document := range documents(data) {
		var root yaml.Node
		if err := yaml.Unmarshal(document, &root); err != nil {
			text := err.Error()
			if found := yamlLine.FindStringSubmatch(text); found != nil {
				line, _ := strconv.Atoi(found[1]) // it is a number
				return fmt.Sprintf("near line %d: %s", before+line, strings.TrimPrefix(text, found[0]))
			}
			return strings.TrimPrefix(text, "yaml: ")
		}
		before += bytes.Count(document, []byte("\n"))
	}
	return ""
}

// patchOf says where a patch of an object is; "" if it cannot be found.
func (o *overlay) patchOf(kind, name string) string {
	for _, at := range slices.Sorted(maps.Keys(o.vetted)) {
		for _, l := range o.vetted[at].loads {
			file, data := at, []byte(l.inline)
			if l.name != "" && !l.opaque {
				file = l.name
				data = o.contentOf(readablePath(l.name))
			}
			if len(filesOf([]string{file}, kind, name, func(string) []byte { return data })) > 0 {
				return " in " + readablePath(file)
			}
		}
	}
	return ""
}

// incomplete is the error of an object that lacks what identifies it.
func (j *job) incomplete(version, kind, name string) error {
	var missing []string
	for _, field := range []struct{ name, value string }{{"apiVersion", version}, {"kind", kind}, {"metadata.name", name}} {
		if field.value == "" {
			missing = append(missing, field.name)
		}
	}
	where := strings.TrimSpace(kind + " " + name)
	if files := j.overlay.filesOf(kind, name); kind != "" && len(files) > 0 {
		where = files[0] + ": " + where
	}
	return errors.New(where + ": an object needs " + strings.Join(missing, " and "))
}
