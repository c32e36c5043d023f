// SPDX-License-Identifier: Apache-2.0

package message

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"strings"
)

// sentryClient is the name by which Sentry knows who sends.
const sentryClient = "sluice/1.0"

type sentryEvent struct {
	EventID     string                    `json:"event_id"`
	Type        string                    `json:"type,omitempty"`
	Level       string                    `json:"level,omitempty"`
	Environment string                    `json:"environment,omitempty"`
	ServerName  string                    `json:"server_name,omitempty"`
	Transaction string                    `json:"transaction"`
	Message     string                    `json:"message"`
	Platform    string                    `json:"platform"`
	Contexts    map[string]map[string]any `json:"contexts"`
	Tags        map[string]string         `json:"tags,omitempty"`
	Start       float64                   `json:"start_timestamp,omitempty"`
	Timestamp   float64                   `json:"timestamp"`
	Spans       []map[string]any          `json:"spans,omitempty"`
}

// sentry sends a failure as an event, and everything else as a transaction, which is
// seen in dashboards and alerts nobody. The address is the DSN of a project, the channel
// an environment.
// See https://develop.sentry.dev/sdk/data-model/envelopes/.
func sentry(to Target, e Event) ([]Request, error) {
	dsn, err := parseDSN(to.Address)
	if err != nil {
		return nil, err
	}
	content, err := encoded(e)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(content)
	event := sentryEventOf(e, hex.EncodeToString(sum[:16]))
	event.Environment = to.Channel
	payload, err := json.Marshal(event)
	if err != nil {
		return nil, fmt.Errorf("encoding the event: %w", err)
	}
	kind := "event"
	if event.Type != "" {
		kind = event.Type
	}
	var body bytes.Buffer
	fmt.Fprintf(&body, "{\"event_id\":%q}\n{\"type\":%q,\"length\":%d}\n", event.EventID, kind, len(payload))
	body.Write(payload)
	body.WriteByte('\n')
	auth := "Sentry sentry_version=7, sentry_client=" + sentryClient + ", sentry_key=" + dsn.key
	if dsn.secret != "" {
		auth += ", sentry_secret=" + dsn.secret
	}
	return []Request{{Method: "POST", URL: dsn.envelopes, Body: body.Bytes(), Header: map[string]string{
		"Content-Type": "application/x-sentry-envelope", "X-Sentry-Auth": auth,
	}}}, nil
}

func sentryEventOf(e Event, id string) sentryEvent {
	at := float64(e.Timestamp.Unix())
	event := sentryEvent{
		EventID: id, Transaction: fmt.Sprintf("%s: %s/%s", e.InvolvedObject.Kind, e.InvolvedObject.Namespace, e.InvolvedObject.Name),
		Message: e.Message, Platform: "other", Timestamp: at,
	}
	if failed(e) {
		metadata := map[string]any{}
		for _, f := range fields(e) {
			metadata[f.key] = f.value
		}
		event.Level, event.ServerName, event.Contexts = e.Severity, e.ReportingController, map[string]map[string]any{"metadata": metadata}
		return event
	}
	trace := map[string]any{"trace_id": id, "span_id": id[:16], "op": "event"}
	event.Type, event.Start, event.Contexts = "transaction", at, map[string]map[string]any{"trace": trace}
	event.Tags = map[string]string{
		"flux_involved_object_kind": e.InvolvedObject.Kind, "flux_involved_object_namespace": e.InvolvedObject.Namespace,
		"flux_involved_object_name": e.InvolvedObject.Name, "flux_reporting_controller": e.ReportingController,
		"flux_reporting_instance": e.ReportingInstance, "flux_reason": e.Reason,
	}
	maps.Copy(event.Tags, e.Metadata)
	span := map[string]any{"start_timestamp": at, "timestamp": at, "tags": event.Tags}
	maps.Copy(span, trace)
	event.Spans = []map[string]any{span}
	return event
}

// dsn is a Data Source Name: https://<key>[:<secret>]@<host>/<path>/<project>.
type dsn struct{ key, secret, envelopes string }

var errDSN = errors.New("spec.address, or the key address of the Secret, has to be a DSN such as https://<key>@<host>/<project>")

func parseDSN(address string) (dsn, error) {
	u, err := parse(address)
	if err != nil || u.User.Username() == "" {
		return dsn{}, errDSN
	}
	before, project := path.Split(strings.TrimSuffix(u.Path, "/"))
	if project == "" {
		return dsn{}, errDSN
	}
	secret, _ := u.User.Password()
	return dsn{
		key: u.User.Username(), secret: secret,
		envelopes: u.Scheme + "://" + u.Host + strings.TrimSuffix(before, "/") + "/api/" + project + "/envelope/",
	}, nil
}

func checkSentry(to Target) error {
	_, err := parseDSN(to.Address)
	return err
}
