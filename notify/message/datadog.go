// SPDX-License-Identifier: Apache-2.0

package message

import "strings"

type datadogEvent struct {
	Title          string   `json:"title"`
	Text           string   `json:"text"`
	Tags           []string `json:"tags"`
	SourceTypeName string   `json:"source_type_name"`
	DateHappened   int64    `json:"date_happened"`
	AlertType      string   `json:"alert_type"`
}

// datadog makes an event; the address is that of the site, such as
// https://api.datadoghq.eu.
// See https://docs.datadoghq.com/api/latest/events/#post-an-event.
func datadog(to Target, e Event) ([]Request, error) {
	u, err := parse(to.Address)
	if err != nil {
		return nil, err
	}
	tags := []string{
		"flux_reporting_controller:" + e.ReportingController, "flux_reason:" + e.Reason,
		"kube_kind:" + e.InvolvedObject.Kind, "kube_name:" + e.InvolvedObject.Name, "kube_namespace:" + e.InvolvedObject.Namespace,
	}
	for _, f := range fields(e) {
		tags = append(tags, f.key+":"+f.value)
	}
	for i := range tags {
		tags[i] = strings.ToLower(tags[i])
	}
	requests, err := post(u.Scheme+"://"+u.Host+"/api/v1/events", datadogEvent{
		Title: "Events from the " + e.InvolvedObject.Kind + " " + e.InvolvedObject.Name + "/" + e.InvolvedObject.Namespace,
		Text:  e.Message, Tags: tags, SourceTypeName: "fluxcd", DateHappened: e.Timestamp.Unix(), AlertType: severity(e),
	})
	if err == nil {
		requests[0].Header["DD-API-KEY"] = to.Token
	}
	return requests, err
}
