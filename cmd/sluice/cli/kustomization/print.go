// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"fmt"
	"strings"

	"github.com/pmezard/go-difflib/difflib"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/internal/mask"
)

// The colours of a diff, as of `git diff`.
const (
	red, green, cyan, bold, plain = "\x1b[31m", "\x1b[32m", "\x1b[36m", "\x1b[1m", "\x1b[0m"
)

// contextLines is how many lines a diff shows around a change.
const contextLines = 3

// print prints how an object changes, if it does. Nil before is none.
func (d *comparison) print(title string, before, after *unstructured.Unstructured) error {
	before, after = comparable(before), comparable(after)
	mask.Secret(before, after)
	from, err := textOf(before)
	if err != nil {
		return err
	}
	to, err := textOf(after)
	if err != nil || from == to {
		return err
	}
	d.different = true
	if err := d.title(title); err != nil {
		return err
	}
	text, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
		A: linesOf(from), B: linesOf(to), FromFile: "cluster", ToFile: "source", Context: contextLines,
	})
	if err != nil {
		return err
	}
	for line := range strings.Lines(text) {
		if err := d.line(strings.TrimSuffix(line, "\n")); err != nil {
			return err
		}
	}
	return nil
}

func linesOf(text string) []string {
	if text == "" {
		return nil
	}
	return strings.SplitAfter(strings.TrimSuffix(text, "\n"), "\n")
}

// title prints what happens to an object.
func (d *comparison) title(text string) error {
	text = output.Clean(text)
	if d.coloured {
		text = bold + text + plain
	}
	_, err := fmt.Fprintln(d.cmd.OutOrStdout(), text)
	return err
}

// line prints a line of a diff. What it holds is somebody's, and must not command the terminal.
func (d *comparison) line(text string) error {
	clean := output.Clean(text)
	if d.coloured {
		for prefix, colour := range map[string]string{"+": green, "-": red, "@@": cyan} {
			if strings.HasPrefix(text, prefix) {
				clean = colour + clean + plain
			}
		}
	}
	_, err := fmt.Fprintln(d.cmd.OutOrStdout(), clean)
	return err
}

// comparable is an object without what the API server keeps of it.
func comparable(u *unstructured.Unstructured) *unstructured.Unstructured {
	if u == nil {
		return nil
	}
	u = u.DeepCopy()
	delete(u.Object, "status")
	for _, field := range []string{"managedFields", "resourceVersion", "uid", "creationTimestamp", "generation", "selfLink"} {
		unstructured.RemoveNestedField(u.Object, "metadata", field)
	}
	unstructured.RemoveNestedField(u.Object, "metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration")
	return u
}

// textOf is an object in YAML; "" of none.
func textOf(u *unstructured.Unstructured) (string, error) {
	if u == nil {
		return "", nil
	}
	text, err := yaml.Marshal(u.Object)
	return string(text), err
}
