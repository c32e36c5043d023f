// SPDX-License-Identifier: Apache-2.0

package alert

import "github.com/sluice-cd/sluice/notify/message"

// discord posts to the endpoint of a webhook that takes Slack's format.
type discord struct{ plainWebhook }

func (discord) address(e endpoint) string { return message.DiscordURL(e.url) }

func (discord) message(e endpoint, n notification) (any, error) {
	return newAttachments(e, n, colorName(n)), nil
}
