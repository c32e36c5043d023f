// SPDX-License-Identifier: Apache-2.0

package alert

import (
	"strings"

	"github.com/sluice-cd/sluice/notify/message"
)

// slack posts to an incoming webhook, or, with a bot's token, to a method of the
// Web API: chat.postMessage, unless another address is configured.
// See https://api.slack.com/methods/chat.postMessage.
type slack struct{}

func (slack) address(e endpoint) string {
	if e.url == "" && e.token != "" {
		return message.PostMessageURL
	}
	return e.url
}

// The three characters that Slack reads as markup.
var slackText = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func (slack) message(e endpoint, n notification) (any, error) {
	escaped := n
	escaped.text = slackText.Replace(n.text)
	escaped.fields = make([]Field, 0, len(n.fields))
	for _, f := range n.fields {
		escaped.fields = append(escaped.fields, Field{Name: f.Name, Value: slackText.Replace(f.Value)})
	}
	return newAttachments(e, escaped, colorName(n)), nil
}

// checkResponse reads the answer of the Web API. That of an incoming webhook is not read.
func (slack) checkResponse(e endpoint, answer []byte) error {
	if e.token == "" {
		return nil
	}
	return message.SlackRefused(answer)
}
