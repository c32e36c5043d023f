// SPDX-License-Identifier: Apache-2.0

package message

import (
	"strings"
)

// connectorHosts are where the webhooks of Microsoft 365 connectors are, which take
// MessageCards; everything else takes Adaptive Cards.
const connectorHosts = ".webhook.office.com"

type teamsCard struct {
	Type       string         `json:"@type"`
	Context    string         `json:"@context"`
	ThemeColor string         `json:"themeColor"`
	Summary    string         `json:"summary"`
	Sections   []teamsSection `json:"sections"`
}

type teamsSection struct {
	ActivityTitle    string      `json:"activityTitle"`
	ActivitySubtitle string      `json:"activitySubtitle"`
	Facts            []teamsFact `json:"facts"`
}

type teamsFact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// msteams posts to Microsoft Teams.
// See https://learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using.
func msteams(to Target, e Event) ([]Request, error) {
	u, err := parse(to.Address)
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(u.Hostname(), connectorHosts) {
		return post(to.Address, messageCard(e))
	}
	return post(to.Address, adaptiveMessage{Type: "message", Attachments: []adaptiveAttachment{{
		ContentType: "application/vnd.microsoft.card.adaptive", Content: adaptive(e),
	}}})
}

func messageCard(e Event) teamsCard {
	facts := make([]teamsFact, 0, len(e.Metadata))
	for _, f := range fields(e) {
		facts = append(facts, teamsFact{Name: f.key, Value: f.value})
	}
	card := teamsCard{
		Type: "MessageCard", Context: "http://schema.org/extensions", ThemeColor: ColorBlue[1:], Summary: subject(e),
		Sections: []teamsSection{{ActivityTitle: e.Message, ActivitySubtitle: subject(e), Facts: facts}},
	}
	if failed(e) {
		card.ThemeColor = ColorRed[1:]
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
	MSTeams struct {
		Width string `json:"width,omitempty"`
	} `json:"msteams"`
}

type adaptiveBlock struct {
	Type   string          `json:"type"`
	Items  []adaptiveBlock `json:"items,omitempty"`
	Text   string          `json:"text,omitempty"`
	Size   string          `json:"size,omitempty"`
	Weight string          `json:"weight,omitempty"`
	Color  string          `json:"color,omitempty"`
	Wrap   bool            `json:"wrap,omitempty"`
	Facts  []adaptiveFact  `json:"facts,omitempty"`
}

type adaptiveFact struct {
	Title string `json:"title"`
	Value string `json:"value"`
}

// summaryKey is the metadata that is shown first.
const summaryKey = "summary"

// adaptive is a card of the newest version that Teams shows to all.
func adaptive(e Event) adaptiveCard {
	text := adaptiveBlock{Type: "TextBlock", Text: e.Message, Wrap: true}
	if failed(e) {
		text.Color = "attention"
	}
	facts := make([]adaptiveFact, 0, len(e.Metadata))
	if summary, ok := e.Metadata[summaryKey]; ok {
		facts = append(facts, adaptiveFact{summaryKey, summary})
	}
	for _, f := range fields(e) {
		if f.key != summaryKey {
			facts = append(facts, adaptiveFact{f.key, f.value})
		}
	}
	card := adaptiveCard{
		Schema: "http://adaptivecards.io/schemas/adaptive-card.json", Type: "AdaptiveCard", Version: "1.4",
		Body: []adaptiveBlock{{Type: "Container", Items: []adaptiveBlock{
			{Type: "TextBlock", Text: subject(e), Size: "large", Weight: "bolder", Wrap: true},
			text,
			{Type: "FactSet", Facts: facts},
		}}},
	}
	card.MSTeams.Width = "Full"
	return card
}
