// SPDX-License-Identifier: Apache-2.0

package message

import (
	"fmt"
	"strings"
)

type webexMessage struct {
	RoomID   string `json:"roomId,omitempty"`
	Markdown string `json:"markdown,omitempty"`
}

// webex sends as a bot to a room, or without a token to a webhook, whose address names the room.
// See https://developer.webex.com/docs/api/v1/messages/create-a-message.
func webex(to Target, e Event) ([]Request, error) {
	emoji := "✅"
	if failed(e) {
		emoji = "💣"
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s **%s**\n%s\n", emoji, subject(e), e.Message)
	for _, f := range fields(e) {
		fmt.Fprintf(&text, ">**%s**: %s\n", f.key, f.value)
	}
	requests, err := post(to.Address, webexMessage{RoomID: to.Channel, Markdown: text.String()})
	return authorized(requests, err, bearer(to.Token))
}
