// SPDX-License-Identifier: Apache-2.0

package message

import (
	"errors"
	"net/url"
	"strings"
)

// zulip sends to channel/topic.
// See https://zulip.com/api/send-message.
func zulip(to Target, e Event) ([]Request, error) {
	u, err := parse(to.Address)
	if err != nil {
		return nil, err
	}
	u.Path, u.RawPath = "/api/v1/messages", ""
	channel, topic, _ := strings.Cut(to.Channel, "/")
	body := url.Values{"type": {"stream"}, "to": {channel}, "topic": {topic}, "content": {Markdown(e)}}.Encode()
	header := map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
	if to.Username != "" || to.Password != "" {
		header["Authorization"] = basic(to.Username, to.Password)
	}
	return []Request{{Method: "POST", URL: u.String(), Header: header, Body: []byte(body)}}, nil
}

func checkZulip(to Target) error {
	if channel, topic, _ := strings.Cut(to.Channel, "/"); channel == "" || topic == "" {
		return errors.New("spec.channel has to be <channel>/<topic>")
	}
	return nil
}
