// SPDX-License-Identifier: Apache-2.0

package message

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"

	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	resourcev1 "go.opentelemetry.io/proto/otlp/resource/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

const (
	// otelPath is where a collector takes traces, unless the address has a path.
	otelPath = "/v1/traces"
	// otelScope is the name of what makes the spans, as dashboards for Flux know it.
	otelScope  = "flux:notification-controller"
	otelSchema = "https://opentelemetry.io/schemas/1.34.0"
)

// otel sends a span for each event, as OTLP over HTTP. All events about one revision that
// an Alert selects are one trace: it is named by the UID of the Alert and the revision.
// See https://opentelemetry.io/docs/specs/otlp/#otlphttp.
func otel(to Target, e Event) ([]Request, error) {
	if e.InvolvedObject.Kind == "HelmRepository" {
		return nil, nil // an index of all charts is not the start of a release
	}
	u, err := parse(to.Address)
	if err != nil {
		return nil, err
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = otelPath
	}
	content, err := encoded(e)
	if err != nil {
		return nil, err
	}
	// It has the bytes of ExportTraceServiceRequest, whose package needs gRPC.
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(spans(to.Alert, e, sha256.Sum256(content)))
	if err != nil {
		return nil, fmt.Errorf("encoding the span: %w", err)
	}
	header := map[string]string{"Content-Type": "application/x-protobuf"}
	token := cmp.Or(to.Token, to.Password)
	switch {
	case to.Username != "" && token != "":
		header["Authorization"] = basic(to.Username, token)
	case token != "":
		header["Authorization"] = "Bearer " + token
	}
	addHeaders(header, to.Headers)
	return []Request{{Method: "POST", URL: u.String(), Header: header, Body: body}}, nil
}

func spans(alert AlertRef, e Event, sum [32]byte) *tracev1.TracesData {
	trace := sha256.Sum256([]byte(alert.UID + ":" + revisionOf(e)))
	at := uint64(max(e.Timestamp.UnixNano(), 0)) // not negative
	status := &tracev1.Status{Code: tracev1.Status_STATUS_CODE_OK}
	if failed(e) {
		status = &tracev1.Status{Code: tracev1.Status_STATUS_CODE_ERROR, Message: e.Message}
	}
	attributes := []*commonv1.KeyValue{
		attribute("object.uid", string(e.InvolvedObject.UID)), attribute("object.kind", e.InvolvedObject.Kind),
		attribute("object.name", e.InvolvedObject.Name), attribute("object.namespace", e.InvolvedObject.Namespace),
	}
	for _, f := range fields(e) {
		attributes = append(attributes, attribute(f.key, f.value))
	}
	span := &tracev1.Span{
		TraceId: trace[:16], SpanId: sum[:8], Kind: tracev1.Span_SPAN_KIND_INTERNAL,
		Name:              fmt.Sprintf("%s: %s/%s", e.InvolvedObject.Kind, e.InvolvedObject.Namespace, e.InvolvedObject.Name),
		StartTimeUnixNano: at, EndTimeUnixNano: at, Attributes: attributes, Status: status,
	}
	return &tracev1.TracesData{ResourceSpans: []*tracev1.ResourceSpans{{
		SchemaUrl: otelSchema,
		Resource: &resourcev1.Resource{Attributes: []*commonv1.KeyValue{
			attribute("service.name", alert.Namespace+"/"+alert.Name), attribute("service.namespace", alert.Namespace),
			attribute("service.instance.id", alert.UID),
		}},
		ScopeSpans: []*tracev1.ScopeSpans{{Scope: &commonv1.InstrumentationScope{Name: otelScope}, Spans: []*tracev1.Span{span}}},
	}}}
}

func attribute(key, value string) *commonv1.KeyValue {
	return &commonv1.KeyValue{Key: key, Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_StringValue{StringValue: value}}}
}

// revisionOf is what the events of one release have in common. Those of charts from OCI
// registries say version and digest apart.
func revisionOf(e Event) string {
	digest, version := e.Metadata["oci-digest"], e.Metadata["app-version"]
	if digest != "" && version != "" {
		return version + "@" + digest
	}
	return cmp.Or(e.Metadata["revision"], "unknown")
}

// severities that a Target is told, worst last.
var severities = []string{"trace", "info", "error"}

// IsSeverity reports whether an event may have a severity.
func IsSeverity(text string) bool { return slices.Contains(severities, text) }
