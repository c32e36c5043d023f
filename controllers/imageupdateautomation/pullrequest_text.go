// SPDX-License-Identifier: Apache-2.0

package imageupdateautomation

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/promotion/forge"
	"github.com/sluice-cd/sluice/writeback"
	"github.com/sluice-cd/sluice/writeback/edit"
)

// templatesOf are the templates of an automation's pull request.
func templatesOf(a *imagev1.ImageUpdateAutomation, spec *imagev1.PullRequestSpec) forge.Templates {
	return forge.TemplatesOf(pullRequestField, spec.TitleTemplate, spec.BodyTemplate, messageData(a, writeback.Changed{}))
}

// messageData is what the templates of an automation's pull request see.
func messageData(a *imagev1.ImageUpdateAutomation, changed writeback.Changed) any {
	values := a.Spec.GitSpec.Commit.MessageTemplateValues
	if values == nil {
		values = map[string]string{} // it is known that there are none
	}
	return writeback.MessageData{AutomationObject: client.ObjectKeyFromObject(a), Changed: changed, Values: values}.Template()
}

// render makes the text that the pull request is to have, if there is anything to propose.
func (p *pullRequestRun) render(ctx context.Context, seen *proposalObservation) error {
	if seen.digest == "" {
		return nil
	}
	var err error
	p.text, err = templatesOf(p.a, &seen.spec).Render(ctx, messageData(p.a, p.review.Changed), func() forge.Text {
		return forge.Text{Title: defaultTitle(p.review.Changed, p.seen.chosen), Body: defaultBody(p.a, p.review.Changed)}
	})
	sum := sha256.Sum256([]byte(p.text.Title + "\n" + p.text.Body))
	seen.text = hex.EncodeToString(sum[:8])
	return err
}

// defaultTitle says what is updated to what.
func defaultTitle(changed writeback.Changed, chosen imagev1.ObservedPolicies) string {
	var parts []string
	for _, change := range changed.Changes() {
		setter, err := edit.ParseSetter(change.Setter)
		if err != nil {
			continue
		}
		ref := chosen[setter.Policy]
		if part := setter.Policy + " to " + cmp.Or(ref.Tag, ref.Digest); !slices.Contains(parts, part) {
			parts = append(parts, part)
		}
	}
	slices.Sort(parts)
	return "Update " + strings.Join(parts, ", ")
}

// defaultBody says what changes where, and what people can do.
func defaultBody(a *imagev1.ImageUpdateAutomation, changed writeback.Changed) string {
	var b strings.Builder
	b.WriteString("| before | after |\n|---|---|\n")
	changes := changed.Changes()
	for _, c := range changes[:min(maxListed, len(changes))] {
		fmt.Fprintf(&b, "| %s | %s |\n", c.OldValue, c.NewValue)
	}
	files := changed.Files()
	b.WriteString("\nIn:\n")
	for _, file := range files[:min(maxListed, len(files))] {
		fmt.Fprintf(&b, "- `%s`\n", file)
	}
	fmt.Fprintf(&b, "\nProposed by ImageUpdateAutomation %s/%s. When its policies choose something else, this pull request is updated, "+
		"unless it is approved or has the label `%s`. Closing it declines exactly this; what is chosen later is proposed again.\n",
		a.Namespace, a.Name, forge.KeepLabel)
	return b.String()
}
