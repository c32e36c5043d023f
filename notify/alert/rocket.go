// SPDX-License-Identifier: Apache-2.0

package alert

// rocket posts to an incoming webhook of Rocket.Chat, which takes Slack's format
// but not its names of colors.
// See https://docs.rocket.chat/docs/integrations.
type rocket struct{ plainWebhook }

func (rocket) message(e endpoint, n notification) (any, error) {
	return newAttachments(e, n, colorNumber(n)), nil
}
