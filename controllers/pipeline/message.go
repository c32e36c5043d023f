// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion"
	"github.com/sluice-cd/sluice/promotion/forge"
)

// message is what templates of a pipeline see: the API documents it at messageTemplate.
type message struct {
	Pipeline struct{ Namespace, Name string }
	Stage    string
	Bundle   sluicev1.Bundle
	From     sluicev1.Bundle
	Rollback bool
	Reason   string
	By       string
	Changes  []versionChange
	Verified []verificationRecord
	Gates    []string

	status string // the name of the commit status
}

// versionChange is a version before and after.
type versionChange struct{ Artifact, From, To string }

// verificationRecord is where and when a bundle was verified.
type verificationRecord struct{ Stage, At, Commit string }

// message collects what is said about a write.
func (r *run) message(w promotion.Write, d promotion.Decision) message {
	m := message{
		Stage: w.Stage, Bundle: w.Bundle, Rollback: w.Kind == sluicev1.LandingRollback, Reason: w.Reason, By: w.By,
		status: statusName(r.pipeline, w.Stage),
	}
	m.Pipeline.Namespace, m.Pipeline.Name = r.pipeline.Namespace, r.pipeline.Name
	m.From, _ = d.State.Bundle(w.From)
	for _, to := range w.Bundle.Versions {
		from := sluicev1.Version{}
		if i := slices.IndexFunc(m.From.Versions, func(v sluicev1.Version) bool { return v.Artifact == to.Artifact }); i >= 0 {
			from = m.From.Versions[i]
		}
		m.Changes = append(m.Changes, versionChange{to.Artifact, versionName(from), versionName(to)})
	}
	for _, stage := range r.pipeline.Spec.Stages {
		for _, l := range d.State.Stages[stage.Name].Landings {
			if (stage.Name != w.Stage || m.Rollback) && l.Bundle == w.Bundle.ID && l.Verdict == promotion.VerdictVerified && l.VerdictAt != nil {
				m.Verified = append(m.Verified, verificationRecord{stage.Name, l.VerdictAt.UTC().Format(time.RFC3339), l.Commit})
				break
			}
		}
	}
	for _, stage := range d.Stages {
		if stage.Name != w.Stage {
			continue
		}
		for _, g := range stage.Waiting {
			if g.Type != sluicev1.GateReview {
				m.Gates = append(m.Gates, g.Message)
			}
		}
	}
	return m
}

func versionName(v sluicev1.Version) string { return cmp.Or(v.Tag, v.Digest) }

func messageField(stage *sluicev1.Stage) string {
	return fmt.Sprintf("spec.stages[%s].write.commit.messageTemplate", stage.Name)
}

// templatesOf are the templates of the pull requests of a stage.
func templatesOf(stage *sluicev1.Stage) forge.Templates {
	spec := stage.Write.PullRequest
	return forge.TemplatesOf(fmt.Sprintf("spec.stages[%s].write.pullRequest", stage.Name), spec.TitleTemplate, spec.BodyTemplate, message{})
}

// text is the text of the pull request.
func (p pulls) text(ctx context.Context, m message) (forge.Text, error) {
	return templatesOf(p.stage).Render(ctx, m, func() forge.Text { return forge.Text{Title: defaultTitle(m), Body: defaultBody(m)} })
}

// defaultTitle says what changes where.
func defaultTitle(m message) string {
	if m.Rollback {
		return fmt.Sprintf("Roll back %s of %s to %s", m.Stage, m.Pipeline.Name, promotion.Describe(m.Bundle))
	}
	return fmt.Sprintf("Promote %s to %s: %s", m.Pipeline.Name, m.Stage, promotion.Describe(m.Bundle))
}

// defaultBody says what changes, why that is believed to work, and what people can do.
func defaultBody(m message) string {
	var b strings.Builder
	b.WriteString("| artifact | before | after |\n|---|---|---|\n")
	for _, c := range m.Changes {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", c.Artifact, cmp.Or(c.From, "-"), c.To)
	}
	if m.Reason != "" {
		fmt.Fprintf(&b, "\nWhy:\n\n    %s\n", strings.ReplaceAll(strings.TrimSpace(m.Reason), "\n", "\n    "))
	}
	b.WriteString("\n")
	for _, v := range m.Verified {
		fmt.Fprintf(&b, "- verified in %s at %s (commit %s)\n", v.Stage, v.At, v.Commit)
	}
	for _, gate := range m.Gates {
		fmt.Fprintf(&b, "- it waited for this when it was proposed: %s\n", strings.Join(strings.Fields(gate), " "))
	}
	closing := fmt.Sprintf("Closing this pull request skips this bundle; the label `%s` keeps the bundle when there is a newer one.",
		forge.KeepLabel)
	if m.Rollback {
		closing = "Closing this pull request leaves the stage as it is, with what failed."
	}
	fmt.Fprintf(&b, "\nStage %s of pipeline %s/%s. The commit status `%s` says when its gates are open. %s\n",
		m.Stage, m.Pipeline.Namespace, m.Pipeline.Name, m.status, closing)
	return b.String()
}

// The lines of a commit message that say what was decided.
const (
	trailerPipeline = "Sluice-Pipeline"
	trailerStage    = "Sluice-Stage"
	trailerBundle   = "Sluice-Bundle"
)

// commitMessage says what was decided, for people and for `git log`.
func commitMessage(ctx context.Context, field, text string, m message) (string, error) {
	text, err := forge.Template{Field: field, Text: text, Data: message{}}.Render(ctx, m, func() string { return defaultCommit(m) })
	if err != nil {
		return "", err
	}
	text = strings.TrimSpace(text)
	if text == "" {
		text = defaultCommit(m)
	}
	lines := []string{trailerPipeline + ": " + m.Pipeline.Namespace + "/" +
		m.Pipeline.Name, trailerStage + ": " + m.Stage, trailerBundle + ": " + m.Bundle.ID}
	switch {
	case m.Rollback:
		lines = append(lines, "Rollback-Of: "+m.From.ID)
	case m.From.ID != "":
		lines = append(lines, "Sluice-Landed-From: "+m.From.ID)
	}
	if m.By != "" {
		lines = append(lines, "Sluice-Requested-By: "+m.By)
	}
	return strings.TrimSpace(text) + "\n\n" + strings.Join(lines, "\n") + "\n", nil
}

func defaultCommit(m message) string {
	verb := "Promote"
	if m.Rollback {
		verb = "Roll back"
	}
	text := fmt.Sprintf("%s %s to %s\n", verb, m.Stage, promotion.Describe(m.Bundle))
	if m.Reason != "" {
		text += "\n" + m.Reason
	}
	return text
}

// hasTrailer reports whether a message has a line of ours, wherever a forge put it.
func hasTrailer(message, name, value string) bool {
	return slices.Contains(strings.Split(strings.ReplaceAll(message, "\r", ""), "\n"), name+": "+value)
}

// splitMessage splits a message into its first line and the rest.
func splitMessage(message string) (title, body string) {
	title, body, _ = strings.Cut(message, "\n")
	return strings.TrimSpace(title), strings.TrimSpace(body)
}
