// SPDX-License-Identifier: Apache-2.0

package alert

import (
	"net/url"
	"strings"

	"github.com/sluice-cd/sluice/notify/message"
)

// msteams posts to Microsoft Teams. A workflow takes an Adaptive Card; a connector,
// and everything that was made to look like one, a MessageCard.
// See https://learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using.
type msteams struct{ plainWebhook }

// workflowHosts are where the webhooks of workflows are.
var workflowHosts = []string{".logic.azure.com", ".powerplatform.com", ".powerautomate.com"}

func (msteams) message(e endpoint, n notification) (any, error) {
	if u, err := url.Parse(e.url); err == nil {
		for _, suffix := range workflowHosts {
			if strings.HasSuffix(u.Hostname(), suffix) {
				return adaptive(n), nil
			}
		}
	}
	return messageCard(n), nil
}

func messageCard(n notification) message.TeamsCard {
	facts := make([]message.TeamsFact, 0, len(n.fields))
	for _, f := range n.fields {
		facts = append(facts, message.TeamsFact(f))
	}
	return message.NewTeamsCard(colorNumber(n), n.subject, n.text, facts)
}

func adaptive(n notification) message.AdaptiveMessage {
	title := message.AdaptiveBlock{Type: "TextBlock", Text: n.text, Weight: "bolder", Color: "accent", Wrap: true}
	if n.isError() {
		title.Color = "attention"
	}
	body := []message.AdaptiveBlock{title, {Type: "TextBlock", Text: n.subject, IsSubtle: true, Wrap: true}}
	if len(n.fields) > 0 {
		facts := message.AdaptiveBlock{Type: "FactSet"}
		for _, f := range n.fields {
			facts.Facts = append(facts.Facts, message.AdaptiveFact{Title: f.Name, Value: f.Value})
		}
		body = append(body, facts)
	}
	return message.NewAdaptiveMessage(body)
}
