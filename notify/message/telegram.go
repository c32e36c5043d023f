// SPDX-License-Identifier: Apache-2.0

package message

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/sluice-cd/sluice/internal/shorten"
)

const (
	telegramAPI = "https://api.telegram.org"
	// telegramText is the longest message, in characters. Half of it is for the text: each
	// character may be escaped.
	telegramText = 4096 / 2
)

type telegramMessage struct {
	ChatID          string `json:"chat_id"`
	MessageThreadID string `json:"message_thread_id,omitempty"`
	Text            string `json:"text"`
	ParseMode       string `json:"parse_mode"`
}

// checkTelegram refuses an address that is no server of one's own.
func checkTelegram(to Target) error {
	if to.Address == "" {
		return nil
	}
	return NeedsURL.check(to)
}

// telegram sends as a bot. The channel is a chat, or chat:topic; an address is that of a
// Bot API server of one's own.
// See https://core.telegram.org/bots/api#sendmessage.
func telegram(to Target, e Event) ([]Request, error) {
	base := telegramAPI
	if to.Address != "" {
		u, err := parse(to.Address)
		if err != nil {
			return nil, err
		}
		base = strings.TrimSuffix(u.String(), "/")
	}
	emoji := "💫"
	if failed(e) {
		emoji = "🚨"
	}
	var text strings.Builder
	heading := fmt.Sprintf("%s %s/%s/%s", emoji, strings.ToLower(e.InvolvedObject.Kind), e.InvolvedObject.Name, e.InvolvedObject.Namespace)
	fmt.Fprintf(&text, "*%s*\n%s\n", escapeTelegram(heading), escapeTelegram(shorten.Runes(e.Message, telegramText, shorten.Ellipsis)))
	for _, f := range fields(e) {
		fmt.Fprintf(&text, "\\- *%s*: %s\n", escapeTelegram(f.key), escapeTelegram(f.value))
	}
	chat, topic, _ := strings.Cut(to.Channel, ":")
	return post(base+"/bot"+url.PathEscape(to.Token)+"/sendMessage", telegramMessage{
		ChatID: chat, MessageThreadID: topic, Text: text.String(), ParseMode: "MarkdownV2",
	})
}

// escapeTelegram escapes what MarkdownV2 reads as markup.
func escapeTelegram(text string) string {
	var b strings.Builder
	for _, r := range text {
		if strings.ContainsRune("\\.-_[]()~>`#+=|{}!*", r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}
