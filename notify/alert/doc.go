// SPDX-License-Identifier: Apache-2.0

// Package alert sends messages about the releases of canaries to chat services.
//
//	[Notifier.Send] --outbox-> spec.analysis.alerts --severity?--> AlertProvider, its Secret
//	                  |                                               |
//	                  +--> a canary without alerts: the webhook of    +--> slack, msteams,
//	                       the controller's flags                          discord, rocket, gchat
//
// The chat services are one table ([services]): each encodes a notification as the
// JSON that the service accepts, and checks what the service answers. The payloads are
// Flagger's, with the image, weight and measurements of the release added.
//
// AlertProvider and Secret are read in the background, when an alert is sent: a chat
// service that hangs, or a Secret that is missing, delays no release. An alert that
// could not be delivered is reported once for each canary and provider, and again only
// after one was delivered in between. The URL of a webhook is a secret, wherever it is
// written: errors name its host only.
package alert
