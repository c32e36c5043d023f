// SPDX-License-Identifier: Apache-2.0

package message

import (
	"maps"
	"time"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

type alertmanagerAlert struct {
	Status      string            `json:"status"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    string            `json:"startsAt"`
}

// alertmanager fires an alert, which ends when Alertmanager says that nobody repeated it
// (resolve_timeout): an event does not tell when the next one is due.
// See https://prometheus.io/docs/alerting/latest/alerts_api/.
func alertmanager(to Target, e Event) ([]Request, error) {
	labels, annotations := map[string]string{}, map[string]string{"message": e.Message}
	maps.Copy(labels, e.Metadata)
	if summary, ok := labels[summaryKey]; ok {
		annotations[summaryKey] = summary
		delete(labels, summaryKey)
	}
	// Only the first letter of a word is a capital, as the rules of who routes Flux's alerts have it.
	labels["alertname"] = "Flux" + e.InvolvedObject.Kind + cases.Title(language.Und).String(e.Reason)
	labels["severity"], labels["reason"] = e.Severity, e.Reason
	labels["kind"], labels["name"], labels["namespace"] = e.InvolvedObject.Kind, e.InvolvedObject.Name, e.InvolvedObject.Namespace
	labels["reportingcontroller"] = e.ReportingController
	requests, err := post(to.Address, []alertmanagerAlert{{
		Status: "firing", Labels: labels, Annotations: annotations, StartsAt: e.Timestamp.Format(time.RFC3339),
	}})
	authorization := tokenOrBasic(to)
	if to.Username != "" && to.Password != "" {
		authorization = basic(to.Username, to.Password)
	}
	return authorized(requests, err, authorization)
}
