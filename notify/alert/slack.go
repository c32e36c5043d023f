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

const postMessage = "https://slack.com/api/chat.postMessage"

func (slack) address(r room) string {
	if r.url == "" && r.token != "" {
		return postMessage
	}
	return r.url
}

// slackCode is what Slack calls errors, such as not_in_channel.
var slackCode = regexp.MustCompile(`^[a-z]+(_[a-z]+){0,6}$`)

// The three characters that Slack reads as markup.
var slackText = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func (slack) message(r room, n news) (any, error) {
	escaped := n
	escaped.text = slackText.Replace(n.text)
	escaped.fields = make([]Field, 0, len(n.fields))
	for _, f := range n.fields {
		escaped.fields = append(escaped.fields, Field{Name: f.Name, Value: slackText.Replace(f.Value)})
	}
	return attached(r, escaped, colorName(n)), nil
}

// judge reads what the Web API says: it answers 200 to what it refuses. A webhook
// says nothing but ok.
func (slack) judge(r room, answer []byte) error {
	var said struct {
		OK    *bool  `json:"ok"`
		Error string `json:"error"`
	}
	if r.token == "" || json.Unmarshal(answer, &said) != nil || said.OK == nil || *said.OK {
		return nil
	}
	if !slackCode.MatchString(said.Error) {
		return errors.New("slack refused the message")
	}
	return fmt.Errorf("slack refused the message: %s", said.Error)
}
