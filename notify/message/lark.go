// SPDX-License-Identifier: Apache-2.0

package message

import (
	"encoding/json"
	"fmt"
	"strings"
)

type larkMessage struct {
	MsgType string   `json:"msg_type"`
	Card    larkCard `json:"card"`
}

type larkCard struct {
	Config struct {
		WideScreenMode bool `json:"wide_screen_mode"`
	} `json:"config"`
	Header struct {
		Title    larkText `json:"title"`
		Template string   `json:"template"`
	} `json:"header"`
	Elements []larkElement `json:"elements"`
}

type larkText struct {
	Tag     string `json:"tag"`
	Content string `json:"content"`
}

type larkElement struct {
	Tag  string   `json:"tag"`
	Text larkText `json:"text"`
}

// lark posts a card to a bot of Lark or Feishu.
// See https://open.larksuite.com/document/client-docs/bot-v3/add-custom-bot.
func lark(to Target, e Event) ([]Request, error) {
	emoji, color := "💫", "turquoise"
	if failed(e) {
		emoji, color = "🚨", "red"
	}
	var text strings.Builder
	fmt.Fprintf(&text, "**%s**\n\n", e.Message)
	for _, f := range fields(e) {
		fmt.Fprintf(&text, "%s: %s\n", f.key, f.value)
	}
	message := larkMessage{MsgType: "interactive"}
	message.Card.Config.WideScreenMode = true
	message.Card.Header.Title = larkText{"plain_text", emoji + " " + subject(e)}
	message.Card.Header.Template = color
	message.Card.Elements = []larkElement{{Tag: "div", Text: larkText{"lark_md", text.String()}}}
	requests, err := post(to.Address, message)
	if err == nil {
		requests[0].Refused = larkRefused
	}
	return requests, err
}

// larkRefused reads an answer, which has the status 200 also when the bot refuses.
func larkRefused(answer []byte) error {
	var response struct {
		Code int `json:"code"`
	}
	if json.Unmarshal(answer, &response) != nil || response.Code == 0 {
		return nil
	}
	return fmt.Errorf("lark refused the message: code %d", response.Code)
}
