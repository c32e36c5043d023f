// SPDX-License-Identifier: Apache-2.0

package alert

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// slack posts to an incoming webhook, or, with a bot's token, to a method of the
// Web API: chat.postMessage, unless another address is configured.
// See https://api.slack.com/methods/chat.postMessage.
type slack struct{}

const postMessageURL = "https://slack.com/api/chat.postMessage"

func (slack) address(e endpoint) string {
	if e.url == "" && e.token != "" {
		return postMessageURL
	}
	return e.url
}

// slackErrorCode is what Slack calls errors, such as not_in_channel.
var slackErrorCode = regexp.MustCompile(`^[a-z]+(_[a-z]+){0,6}$`)

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

// checkResponse reads the answer of the Web API, which refuses messages with 200. That
// of an incoming webhook is `ok` and no more.
func (slack) checkResponse(e endpoint, answer []byte) error {
	var response struct {
		OK    *bool  `json:"ok"`
		Error string `json:"error"`
	}
	if e.token == "" || json.Unmarshal(answer, &response) != nil || response.OK == nil || *response.OK {
		return nil
	}
	if !slackErrorCode.MatchString(response.Error) {
		return errors.New("slack refused the message")
	}
	return fmt.Errorf("slack refused the message: %s", response.Error)
}
