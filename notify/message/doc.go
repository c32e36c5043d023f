// SPDX-License-Identifier: Apache-2.0

// Package message renders events into what chat services, pagers, webhooks and metric
// back-ends take. It is pure: an event and a [Target] make [Request] values, which
// somebody else sends.
//
//	Event, Target --Types[spec.type].Render--> Requests: method, URL, header, body
//	                                              |
//	the answer  <---------------------------------'
//	    '--Request.Refused--> an error, where a service refuses with a status of success
//
// A type is a line of [Types]; those with the same format share a file. The bodies are those of Flux's
// notification-controller, so that whoever parses them need not change; only the order
// of metadata, which is any order there, is that of its keys here. Rendering the same
// event twice gives the same bytes, so that a message that is sent again after a restart
// can be told from another one by services that compare: names of commit statuses,
// transactions of Matrix, events of Sentry, spans of OpenTelemetry.
package message
