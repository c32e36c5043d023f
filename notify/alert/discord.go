// SPDX-License-Identifier: Apache-2.0

package alert

import (
	"net/url"
	"strings"
)

// discord posts to the endpoint of a webhook that takes Slack's format.
// See https://discord.com/developers/docs/resources/webhook#execute-slackcompatible-webhook.
type discord struct{ plainWebhook }

func (discord) address(e endpoint) string {
	u, err := url.Parse(e.url)
	if err != nil || strings.HasSuffix(u.Path, "/slack") {
		return e.url
	}
	return u.JoinPath("slack").String()
}

func (discord) message(e endpoint, n notification) (any, error) {
	return newAttachments(e, n, colorName(n)), nil
}
