// SPDX-License-Identifier: Apache-2.0

package alert

import "github.com/sluice-cd/sluice/notify/message"

// newAttachments encodes a notification in the format of Slack's webhooks, in a color
// that the service knows.
func newAttachments(e endpoint, n notification, color string) message.Attachments {
	fields := make([]message.AttachmentField, 0, len(n.fields))
	for _, f := range n.fields {
		fields = append(fields, message.AttachmentField{Title: f.Name, Value: f.Value})
	}
	return message.Attachments{
		Channel: e.channel, Username: e.username, IconEmoji: ":rocket:",
		Attachments: []message.Attachment{{
			Color: color, AuthorName: n.subject, Text: n.text, MrkdwnIn: []string{"text"}, Fields: fields,
		}},
	}
}

// colorName is Slack's name of the color of a notification.
func colorName(n notification) string {
	if n.isError() {
		return message.ColorDanger
	}
	return message.ColorGood
}

// colorNumber is the color for services that do not know Slack's names.
func colorNumber(n notification) string {
	if n.isError() {
		return message.ColorRed
	}
	return message.ColorBlue
}
