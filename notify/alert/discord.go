// SPDX-License-Identifier: Apache-2.0

package alert

import (
	"net/url"
	"strings"
)

// discord posts to the endpoint of a webhook that takes Slack's format.
// See https://discord.com/developers/docs/resources/webhook#execute-slackcompatible-webhook.
type discord struct{ plain }

func (discord) address(r room) string {
	u, err := url.Parse(r.url)
	if err != nil || strings.HasSuffix(u.Path, "/slack") {
		return r.url
	}
	return u.JoinPath("slack").String()
}

func (discord) message(r room, n news) (any, error) {
	return attached(r, n, colorName(n)), nil
}
