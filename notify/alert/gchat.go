// SPDX-License-Identifier: Apache-2.0

package alert

import "html"

// gchat posts a card to a webhook of Google Chat.
// See https://developers.google.com/workspace/chat/api/reference/rest/v1/cards-v1.
type gchat struct{ plainWebhook }

type gchatMessage struct {
	Cards []gchatCard `json:"cards"`
}

type gchatCard struct {
	Header   gchatHeader    `json:"header"`
	Sections []gchatSection `json:"sections"`
}

type gchatHeader struct {
	Title    string `json:"title"`
	Subtitle string `json:"subtitle"`
	ImageURL string `json:"imageUrl"`
}

type gchatSection struct {
	Widgets []gchatWidget `json:"widgets"`
}

type gchatWidget struct {
	TextParagraph gchatText `json:"textParagraph"`
}

type gchatText struct {
	Text string `json:"text"`
}

// The card's head, as people know it from Flagger.
const (
	gchatTitle = "Flagger"
	gchatIcon  = "https://flagger.app/favicon.png"
)

func (gchat) message(_ endpoint, n notification) (any, error) {
	sections := []gchatSection{gchatParagraph(strong(n.text))}
	for _, f := range n.fields {
		sections = append(sections, gchatParagraph(html.EscapeString(f.Name)+"<br>"+strong(f.Value)))
	}
	return gchatMessage{Cards: []gchatCard{{
		Header:   gchatHeader{Title: gchatTitle, Subtitle: n.subject, ImageURL: gchatIcon},
		Sections: sections,
	}}}, nil
}

func gchatParagraph(text string) gchatSection {
	return gchatSection{Widgets: []gchatWidget{{TextParagraph: gchatText{Text: text}}}}
}

// strong is text in the few tags that a card allows, escaped: a measurement may hold a <.
func strong(text string) string {
	return "<font color=#848484><strong>" + html.EscapeString(text) + "</strong></font>"
}
