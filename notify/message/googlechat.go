// SPDX-License-Identifier: Apache-2.0

package message

type googleChatMessage struct {
	Cards []googleChatCard `json:"cards"`
}

type googleChatCard struct {
	Header   googleChatHeader    `json:"header"`
	Sections []googleChatSection `json:"sections"`
}

type googleChatHeader struct {
	Title      string  `json:"title"`
	Subtitle   string  `json:"subtitle"`
	ImageURL   *string `json:"imageUrl"`
	ImageStyle *string `json:"imageStyle"`
}

type googleChatSection struct {
	Header  string             `json:"header"`
	Widgets []googleChatWidget `json:"widgets"`
}

type googleChatWidget struct {
	TextParagraph *googleChatText     `json:"textParagraph"`
	KeyValue      *googleChatKeyValue `json:"keyValue"`
}

type googleChatText struct {
	Text string `json:"text"`
}

type googleChatKeyValue struct {
	TopLabel         string  `json:"topLabel"`
	Content          string  `json:"content"`
	ContentMultiline bool    `json:"contentMultiline"`
	BottomLabel      *string `json:"bottomLabel"`
	Icon             *string `json:"icon"`
}

// googleChat posts a card to a webhook of Google Chat.
// See https://developers.google.com/workspace/chat/api/reference/rest/v1/cards-v1.
func googleChat(to Target, e Event) ([]Request, error) {
	text := e.Message
	if failed(e) {
		text = `<font color="#ff0000">` + text + "</font>"
	}
	sections := []googleChatSection{{Widgets: []googleChatWidget{{TextParagraph: &googleChatText{text}}}}}
	if len(e.Metadata) > 0 {
		var widgets []googleChatWidget
		for _, f := range fields(e) {
			widgets = append(widgets, googleChatWidget{KeyValue: &googleChatKeyValue{TopLabel: f.key, Content: f.value}})
		}
		sections = append(sections, googleChatSection{Widgets: widgets})
	}
	return post(to.Address, googleChatMessage{Cards: []googleChatCard{{
		Header: googleChatHeader{Title: subject(e), Subtitle: e.ReportingController}, Sections: sections,
	}}})
}
