// SPDX-License-Identifier: Apache-2.0

package mask

import (
	"errors"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

const secretKind = "Secret"

// hint is in every text that may be a Secret, however it is written or whatever it is part of.
var hint = regexp.MustCompile(`(?m)\bkind["']?\s*:\s*["']?Secret(List)?\b|\bsecretGenerator\b|\bstringData\b|^["']?sops["']?:`)

// keyText is a key of YAML or JSON with its colon.
var keyText = regexp.MustCompile(`^("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s:#,{}\[\]"'?|>&*!-][^:#]*?)\s*:(?:\s|$)`)

// File returns the lines of a file, which come without their ends, with values hidden: those of Secrets in manifests, lists and
// patches, literals of a secretGenerator, what SOPS encrypted, and variables in files whose names are those of dotenv.
// There are as many lines, and keys stay where they can be told from values. Of what looks like one of these and cannot be read
// as YAML, such as a template, all is hidden.
func File(name string, lines []string) []string {
	masked := slices.Clone(lines)
	if base := path.Base(name); strings.HasPrefix(base, ".env") || path.Ext(base) == ".env" {
		for i, line := range lines {
			if key, _, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(strings.TrimSpace(key), "#") {
				masked[i] = key + "=" + Value
			} else {
				masked[i] = hidden(line)
			}
		}
		return masked
	}
	for start, i := 0, 0; i <= len(lines); i++ {
		if i == len(lines) || i > start && beginsDocument(lines[i]) {
			d := document{lines: lines[start:i], masked: masked[start:i]}
			d.hide()
			start = i
		}
	}
	for i, line := range lines {
		if masked[i] == line && (strings.Contains(line, "ENC[") || strings.HasPrefix(line, "sops_")) {
			masked[i] = hidden(line)
		}
	}
	return masked
}

// beginsDocument reports whether a line ends a document of YAML, or begins one.
func beginsDocument(line string) bool {
	return len(line) >= 3 && (line[:3] == "---" || line[:3] == "...") && strings.Trim(line[3:min(len(line), 4)], " \t\r") == ""
}

// hidden is a line of which only the indentation is left, and the key if it begins with one.
func hidden(line string) string {
	text := strings.TrimLeft(line, " \t")
	indent := line[:len(line)-len(text)]
	if strings.TrimSpace(text) == "" {
		return line
	}
	if key := keyText.FindString(text); key != "" {
		return indent + strings.TrimSpace(key) + " " + Value
	}
	return indent + Value
}

// document is one of YAML.
type document struct{ lines, masked []string }

// hide hides what is secret in a document.
func (d *document) hide() {
	text := strings.Join(d.lines, "\n")
	if !hint.MatchString(text) {
		return
	}
	root, ok := parsed(strings.TrimPrefix(text, "..."))
	if !ok {
		d.hideLines(1, len(d.lines)+1)
		return
	}
	for _, node := range root.Content {
		d.walk(node, len(d.lines)+1, nodeContext{root: true})
	}
}

// parsed reads a document. It is not ok if lines cannot be told by its nodes: if it is no YAML, or more than one document, if the
// parser breaks lines at more than line feeds, and if an alias brings a value from elsewhere.
func parsed(text string) (root *yaml.Node, ok bool) {
	if strings.ContainsAny(strings.ReplaceAll(text+"\n", "\r\n", "\n"), "\r\u0085\u2028\u2029") {
		return nil, false
	}
	var first, second yaml.Node
	documents := yaml.NewDecoder(strings.NewReader(text))
	if documents.Decode(&first) != nil || !errors.Is(documents.Decode(&second), io.EOF) || hasAlias(&first) {
		return nil, false
	}
	return &first, true
}

// hiddenWhole is a line of which only the indentation is left.
func hiddenWhole(line string) string {
	text := strings.TrimLeft(line, " \t")
	if strings.TrimSpace(text) == "" {
		return line
	}
	return line[:len(line)-len(text)] + Value
}

func hasAlias(node *yaml.Node) bool {
	return node.Kind == yaml.AliasNode || slices.ContainsFunc(node.Content, hasAlias)
}

// nodeContext is where a node is.
type nodeContext struct{ root, inGenerator bool }

// walk hides what is secret in a node, which ends before a line, counted from 1.
func (d *document) walk(node *yaml.Node, end int, at nodeContext) {
	switch node.Kind {
	case yaml.SequenceNode:
		for i, item := range node.Content {
			d.walk(item, d.endOf(item, node.Content[i+1:], end), nodeContext{inGenerator: at.inGenerator})
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			key, value := node.Content[i], node.Content[i+1]
			until := d.endOf(key, node.Content[i+2:], end)
			if isSecretField(node, key, value, at) {
				d.hideValue(key, value, until)
				continue
			}
			d.walk(value, until, nodeContext{inGenerator: at.inGenerator || key.Value == "secretGenerator"})
		}
	case yaml.ScalarNode:
		if hint.MatchString(node.Value) {
			d.hideLines(node.Line, end)
		}
	}
}

// endOf is the line before which a node ends that others follow, or that ends its parent.
func (d *document) endOf(node *yaml.Node, after []*yaml.Node, end int) int {
	if len(after) == 0 {
		return end
	}
	next := after[0]
	if next.Line > node.Line && strings.Trim(d.lines[next.Line-1][:d.offset(next)], " \t-") == "" {
		return next.Line
	}
	return end // of flow style: what follows may be on the last line of the node
}

// offset is where a node begins in its line, in bytes. The parser counts characters.
func (d *document) offset(node *yaml.Node) int {
	line, column := d.lines[node.Line-1], 1
	for i := range line {
		if column == node.Column {
			return i
		}
		column++
	}
	return len(line)
}

// isSecretField reports whether the value of a key of a mapping is secret.
func isSecretField(node, key, value *yaml.Node, at nodeContext) bool {
	switch key.Value {
	case "data", "stringData":
		kind, version := member(node, "kind"), member(node, "apiVersion")
		return kind != nil && kind.Value == secretKind && (version == nil || !strings.Contains(version.Value, "/"))
	case "items":
		kind := member(node, "kind")
		return kind != nil && kind.Value == secretKind+"List"
	case "literals":
		return at.inGenerator
	case "patch":
		if target := member(node, "target"); target != nil {
			kind := member(target, "kind")
			return kind != nil && kind.Value == secretKind
		}
	case "sops":
		return at.root && value.Kind == yaml.MappingNode
	}
	return value.Kind == yaml.ScalarNode && hint.MatchString(value.Value) // a manifest in a manifest
}

// member is the value of a key; nil if there is none.
func member(node *yaml.Node, key string) *yaml.Node {
	if node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			return node.Content[i+1]
		}
	}
	return nil
}

// hideValue hides the value of a key. The key stays, and so do those in the value that have a line of their own.
func (d *document) hideValue(key, value *yaml.Node, end int) {
	if d.masked[key.Line-1] != d.lines[key.Line-1] {
		d.hideLines(key.Line, end)
		return
	}
	d.hideLines(key.Line, end)
	d.showKey(key, value)
	if value.Kind != yaml.MappingNode || value.Style&yaml.FlowStyle != 0 {
		return
	}
	for i := 0; i+1 < len(value.Content); i += 2 {
		d.showKey(value.Content[i], value.Content[i+1])
	}
}

// hideLines hides lines from one to before another, unless they are hidden already.
func (d *document) hideLines(from, end int) {
	for i := from - 1; i < end-1 && i < len(d.lines); i++ {
		if d.masked[i] == d.lines[i] {
			d.masked[i] = hiddenWhole(d.lines[i])
		}
	}
}

// showKey shows the line of a key again up to its colon, and that it has a value there.
func (d *document) showKey(key, value *yaml.Node) {
	line, offset := d.lines[key.Line-1], d.offset(key)
	text := strings.TrimSpace(keyText.FindString(line[offset:]))
	if text == "" {
		return
	}
	shown := line[:offset] + text
	if value.Line == key.Line {
		shown += " " + Value
	}
	d.masked[key.Line-1] = shown
}
