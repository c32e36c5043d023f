// SPDX-License-Identifier: Apache-2.0

package message

// TeamsCard is the MessageCard that connectors of Microsoft Teams take, and everything that was made to
// look like one.
// See https://learn.microsoft.com/en-us/outlook/actionable-messages/message-card-reference.
type TeamsCard struct {
	Type       string         `json:"@type"`
	Context    string         `json:"@context"`
	ThemeColor string         `json:"themeColor"`
	Summary    string         `json:"summary"`
	Sections   []TeamsSection `json:"sections"`
}

// TeamsSection is the body of a [TeamsCard].
type TeamsSection struct {
	ActivityTitle    string      `json:"activityTitle"`
	ActivitySubtitle string      `json:"activitySubtitle"`
	Facts            []TeamsFact `json:"facts"`
}

// TeamsFact is a line beneath it.
type TeamsFact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// NewTeamsCard is a card about an object, the subject, in a color that is written as
// [ColorBlue] is.
func NewTeamsCard(color, subject, text string, facts []TeamsFact) TeamsCard {
	return TeamsCard{
		Type: "MessageCard", Context: "http://schema.org/extensions", ThemeColor: color[1:], Summary: subject,
		Sections: []TeamsSection{{ActivityTitle: text, ActivitySubtitle: subject, Facts: facts}},
	}
}

// AdaptiveMessage is what workflows of Microsoft Teams take: an Adaptive Card as the
// attachment of a message.
// See https://adaptivecards.io/explorer/AdaptiveCard.html.
type AdaptiveMessage struct {
	Type        string               `json:"type"`
	Attachments []AdaptiveAttachment `json:"attachments"`
}

// AdaptiveAttachment holds the card of an [AdaptiveMessage].
type AdaptiveAttachment struct {
	ContentType string       `json:"contentType"`
	Content     AdaptiveCard `json:"content"`
}

// AdaptiveCard is a card of what it shows, from top to bottom.
type AdaptiveCard struct {
	Schema  string          `json:"$schema"`
	Type    string          `json:"type"`
	Version string          `json:"version"`
	Body    []AdaptiveBlock `json:"body"`
	MSTeams *AdaptiveTeams  `json:"msteams,omitempty"`
}

// AdaptiveTeams is what Teams alone reads of a card.
type AdaptiveTeams struct {
	Width string `json:"width,omitempty"`
}

// AdaptiveBlock is a Container, a TextBlock or a FactSet.
type AdaptiveBlock struct {
	Type     string          `json:"type"`
	Items    []AdaptiveBlock `json:"items,omitempty"`
	Text     string          `json:"text,omitempty"`
	Size     string          `json:"size,omitempty"`
	Weight   string          `json:"weight,omitempty"`
	Color    string          `json:"color,omitempty"`
	IsSubtle bool            `json:"isSubtle,omitempty"`
	Wrap     bool            `json:"wrap,omitempty"`
	Facts    []AdaptiveFact  `json:"facts,omitempty"`
}

// AdaptiveFact is a line of a FactSet.
type AdaptiveFact struct {
	Title string `json:"title"`
	Value string `json:"value"`
}

// NewAdaptiveMessage is a message of one card, of the newest version that all clients of
// Teams show.
func NewAdaptiveMessage(body []AdaptiveBlock) AdaptiveMessage {
	return AdaptiveMessage{Type: "message", Attachments: []AdaptiveAttachment{{
		ContentType: "application/vnd.microsoft.card.adaptive",
		Content: AdaptiveCard{
			Schema: "http://adaptivecards.io/schemas/adaptive-card.json", Type: "AdaptiveCard", Version: "1.4", Body: body,
		},
	}}}
}
