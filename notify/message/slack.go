// SPDX-License-Identifier: Apache-2.0

package message

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/sluice-cd/sluice/internal/shorten"
)

// Attachments is the message format of Slack's webhooks, which Discord and Rocket.Chat
// take, too.
// See https://api.slack.com/reference/messaging/attachments.
type Attachments struct {
	Channel     string       `json:"channel"`
	Username    string       `json:"username"`
	IconURL     string       `json:"icon_url"`
	IconEmoji   string       `json:"icon_emoji"`
	Attachments []Attachment `json:"attachments"`
}

// Attachment is the body of a message.
type Attachment struct {
	Fallback   string            `json:"fallback,omitempty"`
	Color      string            `json:"color"`
	AuthorName string            `json:"author_name"`
	Text       string            `json:"text"`
	MrkdwnIn   []string          `json:"mrkdwn_in"`
	Fields     []AttachmentField `json:"fields"`
}

// AttachmentField is a line beneath it.
type AttachmentField struct {
	Title string `json:"title"`
	Value string `json:"value"`
	Short bool   `json:"short"`
}

// Colors: names that Slack and Discord know, and numbers that Rocket.Chat does.
const (
	ColorGood   = "good"
	ColorDanger = "danger"
	ColorBlue   = "#0076D7"
	ColorRed    = "#FF0000"
)

// PostMessageURL is the method of Slack's Web API that takes a bot's messages.
const PostMessageURL = "https://slack.com/api/chat.postMessage"

func attachments(to Target, e Event, good, bad string) Attachments {
	all := make([]AttachmentField, 0, len(e.Metadata))
	for _, f := range fields(e) {
		all = append(all, AttachmentField{Title: f.key, Value: f.value})
	}
	color := good
	if failed(e) {
		color = bad
	}
	return Attachments{
		Channel: to.Channel, Username: cmp.Or(to.Username, e.ReportingController),
		Attachments: []Attachment{{Color: color, AuthorName: subject(e), Text: e.Message, MrkdwnIn: []string{"text"}, Fields: all}},
	}
}

// slack posts to an incoming webhook, or, with a bot's token, to the Web API.
func slack(to Target, e Event) ([]Request, error) {
	payload := attachments(to, e, ColorGood, ColorDanger)
	first, _, _ := strings.Cut(e.Message, "\n")
	payload.Attachments[0].Fallback = subject(e) + ": " + first
	requests, err := post(to.Address, payload)
	if err == nil && to.Address == PostMessageURL {
		requests[0].Refused = SlackRefused
	}
	return authorized(requests, err, bearer(to.Token))
}

// slackErrorCode is what Slack calls errors, such as not_in_channel.
var slackErrorCode = regexp.MustCompile(`^[a-z]+(_[a-z]+){0,6}$`)

// SlackRefused reads the answer of the Web API, which refuses messages with 200. That of
// an incoming webhook is `ok` and no more.
func SlackRefused(answer []byte) error {
	var response struct {
		OK    *bool  `json:"ok"`
		Error string `json:"error"`
	}
	if json.Unmarshal(answer, &response) != nil || response.OK == nil || *response.OK {
		return nil
	}
	if !slackErrorCode.MatchString(response.Error) {
		return errors.New("slack refused the message")
	}
	return fmt.Errorf("slack refused the message: %s", response.Error)
}

// discordText is the longest text of an attachment that Discord takes.
const discordText = 4096

// discord posts to the endpoint of a webhook that takes Slack's format.
func discord(to Target, e Event) ([]Request, error) {
	payload := attachments(to, e, ColorGood, ColorDanger)
	payload.Channel = "" // a webhook of Discord is bound to its channel
	payload.Attachments[0].Text = shorten.Runes(e.Message, discordText, shorten.Ellipsis)
	return post(DiscordURL(to.Address), payload)
}

// DiscordURL is where a webhook of Discord takes Slack's format.
// See https://discord.com/developers/docs/resources/webhook#execute-slackcompatible-webhook.
func DiscordURL(address string) string {
	u, err := url.Parse(address)
	if err != nil || strings.HasSuffix(u.Path, "/slack") {
		return address
	}
	return u.JoinPath("slack").String()
}

// rocket posts to an incoming webhook of Rocket.Chat, which takes Slack's format but not
// its names of colors, and shows its own name unless the message has one.
func rocket(to Target, e Event) ([]Request, error) {
	payload := attachments(to, e, ColorBlue, ColorRed)
	payload.Username = to.Username
	return post(to.Address, payload)
}
