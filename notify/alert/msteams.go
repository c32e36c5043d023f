// SPDX-License-Identifier: Apache-2.0

package alert

import (
	"net/url"
	"strings"
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

type teamsCard struct {
	Type       string         `json:"@type"`
	Context    string         `json:"@context"`
	ThemeColor string         `json:"themeColor"`
	Summary    string         `json:"summary"`
	Sections   []teamsSection `json:"sections"`
}

type teamsSection struct {
	ActivityTitle    string  `json:"activityTitle"`
	ActivitySubtitle string  `json:"activitySubtitle"`
	Facts            []Field `json:"facts"`
}

func messageCard(n notification) teamsCard {
	card := teamsCard{
		Type: "MessageCard", Context: "http://schema.org/extensions", ThemeColor: colorBlue[1:], Summary: n.subject,
		Sections: []teamsSection{{ActivityTitle: n.text, ActivitySubtitle: n.subject, Facts: append([]Field{}, n.fields...)}},
	}
	if n.isError() {
		card.ThemeColor = colorRed[1:]
	}
	return card
}

type adaptiveMessage struct {
	Type        string               `json:"type"`
	Attachments []adaptiveAttachment `json:"attachments"`
}

type adaptiveAttachment struct {
	ContentType string       `json:"contentType"`
	Content     adaptiveCard `json:"content"`
}

type adaptiveCard struct {
	Schema  string          `json:"$schema"`
	Type    string          `json:"type"`
	Version string          `json:"version"`
	Body    []adaptiveBlock `json:"body"`
}

type adaptiveBlock struct {
	Type     string         `json:"type"`
	Text     string         `json:"text,omitempty"`
	Weight   string         `json:"weight,omitempty"`
	Color    string         `json:"color,omitempty"`
	IsSubtle bool           `json:"isSubtle,omitempty"`
	Wrap     bool           `json:"wrap,omitempty"`
	Facts    []adaptiveFact `json:"facts,omitempty"`
}

type adaptiveFact struct {
	Title string `json:"title"`
	Value string `json:"value"`
}

// adaptive is a card of the oldest version that all clients of Teams show.
// See https://adaptivecards.io/explorer/AdaptiveCard.html.
func adaptive(n notification) adaptiveMessage {
	title := adaptiveBlock{Type: "TextBlock", Text: n.text, Weight: "bolder", Color: "accent", Wrap: true}
	if n.isError() {
		title.Color = "attention"
	}
	body := []adaptiveBlock{title, {Type: "TextBlock", Text: n.subject, IsSubtle: true, Wrap: true}}
	if len(n.fields) > 0 {
		facts := adaptiveBlock{Type: "FactSet"}
		for _, f := range n.fields {
			facts.Facts = append(facts.Facts, adaptiveFact{Title: f.Name, Value: f.Value})
		}
		body = append(body, facts)
	}
	return adaptiveMessage{Type: "message", Attachments: []adaptiveAttachment{{
		ContentType: "application/vnd.microsoft.card.adaptive",
		Content: adaptiveCard{
			Schema: "http://adaptivecards.io/schemas/adaptive-card.json", Type: "AdaptiveCard", Version: "1.4", Body: body,
		},
	}}}
}
