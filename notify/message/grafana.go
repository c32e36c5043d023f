// SPDX-License-Identifier: Apache-2.0

package message

import "strings"

type grafanaAnnotation struct {
	When int64    `json:"when"` // seconds since 1970, as Graphite has it
	Text string   `json:"text"`
	Tags []string `json:"tags,omitempty"`
}

// grafana makes an annotation, in the format of Graphite: the address is
// https://host/api/annotations/graphite.
// See https://grafana.com/docs/grafana/latest/developers/http_api/annotations/#create-annotation-in-graphite-format.
func grafana(to Target, e Event) ([]Request, error) {
	tags := []string{"flux", e.ReportingController}
	colon := strings.NewReplacer(":", "|")
	for _, f := range fields(e) {
		tags = append(tags, colon.Replace(f.key)+": "+colon.Replace(f.value))
	}
	tags = append(tags, "kind: "+e.InvolvedObject.Kind, "name: "+e.InvolvedObject.Name, "namespace: "+e.InvolvedObject.Namespace)
	requests, err := post(to.Address, grafanaAnnotation{When: e.Timestamp.Unix(), Text: subject(e), Tags: tags})
	return authorized(requests, err, tokenOrBasic(to))
}

// tokenOrBasic is the Authorization of a server that takes a token, or else a user and a
// password.
func tokenOrBasic(to Target) string {
	switch {
	case to.Token != "":
		return "Bearer " + to.Token
	case to.Username != "" && to.Password != "":
		return basic(to.Username, to.Password)
	}
	return ""
}
