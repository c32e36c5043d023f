// SPDX-License-Identifier: Apache-2.0

package alert

// attachments is the message format of Slack's webhooks, which Discord and Rocket
// take, too.
// See https://api.slack.com/reference/messaging/attachments.
type attachments struct {
	Channel     string       `json:"channel"`
	Username    string       `json:"username"`
	IconURL     string       `json:"icon_url"`
	IconEmoji   string       `json:"icon_emoji"`
	Attachments []attachment `json:"attachments"`
}

type attachment struct {
	Color      string            `json:"color"`
	AuthorName string            `json:"author_name"`
	Text       string            `json:"text"`
	MrkdwnIn   []string          `json:"mrkdwn_in"`
	Fields     []attachmentField `json:"fields"`
}

type attachmentField struct {
	Title string `json:"title"`
	Value string `json:"value"`
	Short bool   `json:"short"`
}

// newAttachments encodes a notification in this format, in a color that the service knows.
func newAttachments(e endpoint, n notification, color string) attachments {
	fields := make([]attachmentField, 0, len(n.fields))
	for _, f := range n.fields {
		fields = append(fields, attachmentField{Title: f.Name, Value: f.Value})
	}
	return attachments{
		Channel: e.channel, Username: e.username, IconEmoji: ":rocket:",
		Attachments: []attachment{{
			Color: color, AuthorName: n.subject, Text: n.text, MrkdwnIn: []string{"text"}, Fields: fields,
		}},
	}
}

// Slack's names of colors.
const (
	colorGood   = "good"
	colorDanger = "danger"
)

func colorName(n notification) string {
	if n.isError() {
		return colorDanger
	}
	return colorGood
}
