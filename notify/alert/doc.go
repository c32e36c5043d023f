// SPDX-License-Identifier: Apache-2.0

// Package alert tells chat rooms how releases of canaries go.
//
//	[Notifier.Send] --queue--> spec.analysis.alerts --severity?--> AlertProvider, its Secret
//	                  |                                               |
//	                  +--> a canary without alerts: the room of       +--> slack, msteams,
//	                       the controller's flags                          discord, rocket, gchat
//
// The kinds of chat services are one table ([kinds]): each turns a message into
// the JSON that the service takes, and knows what its answer means. The payloads
// are Flagger's, with the release's image, weight and measurements beside what
// Flagger says.
//
// Everything is found out when it is sent, in the background: a chat service that
// hangs, or a Secret that is missing, holds up no release. What could not be
// delivered is reported once for each canary and provider, until something is
// delivered again. The address of a room is a secret, wherever it is written: no
// error has more of it than the host.
package alert
