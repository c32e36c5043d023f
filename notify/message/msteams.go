// SPDX-License-Identifier: Apache-2.0

package message

import "strings"

// connectorHosts are where the webhooks of Microsoft 365 connectors are, which take
// MessageCards; everything else takes Adaptive Cards.
const connectorHosts = ".webhook.office.com"

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
	card := NewAdaptiveMessage(adaptive(e))
	card.Attachments[0].Content.MSTeams = &AdaptiveTeams{Width: "Full"}
	return post(to.Address, card)
}

func messageCard(e Event) TeamsCard {
	facts := make([]TeamsFact, 0, len(e.Metadata))
	for _, f := range fields(e) {
		facts = append(facts, TeamsFact{Name: f.key, Value: f.value})
	}
	color := ColorBlue
	if failed(e) {
		color = ColorRed
	}
	return NewTeamsCard(color, subject(e), e.Message, facts)
}

// summaryKey is the metadata that is shown first.
const summaryKey = "summary"

// adaptive is what a card shows of an event.
func adaptive(e Event) []AdaptiveBlock {
	text := AdaptiveBlock{Type: "TextBlock", Text: e.Message, Wrap: true}
	if failed(e) {
		text.Color = "attention"
	}
	facts := make([]AdaptiveFact, 0, len(e.Metadata))
	if summary, ok := e.Metadata[summaryKey]; ok {
		facts = append(facts, AdaptiveFact{summaryKey, summary})
	}
	for _, f := range fields(e) {
		if f.key != summaryKey {
			facts = append(facts, AdaptiveFact{f.key, f.value})
		}
	}
	return []AdaptiveBlock{{Type: "Container", Items: []AdaptiveBlock{
		{Type: "TextBlock", Text: subject(e), Size: "large", Weight: "bolder", Wrap: true},
		text,
		{Type: "FactSet", Facts: facts},
	}}}
}
