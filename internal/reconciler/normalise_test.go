// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"errors"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
)

func TestErrorsThatDifferByWhatIsPassingAreTheSame(t *testing.T) {
	tests := map[string]struct{ first, second, want string }{
		"the port of a connection": {
			`Get "https://ghcr.io/v2/": read tcp 10.0.0.7:40312->140.82.121.34:443: read: connection reset by peer`,
			`Get "https://ghcr.io/v2/": read tcp 10.0.0.7:51988->140.82.121.34:443: read: connection reset by peer`,
			`Get "https://ghcr.io/v2/": read tcp 140.82.121.34:443: read: connection reset by peer`,
		},
		"the port of a question to the name server": {
			"dial tcp: lookup ghcr.io on 10.96.0.10:53: read udp 10.0.0.7:40312->10.96.0.10:53: i/o timeout",
			"dial tcp: lookup ghcr.io on 10.96.0.10:53: read udp 10.0.0.7:33333->10.96.0.10:53: i/o timeout",
			"dial tcp: lookup ghcr.io on 10.96.0.10:53: read udp 10.96.0.10:53: i/o timeout",
		},
		"an address of IPv6": {
			"write tcp6 [fd00::7]:40312->[fd00::8]:443: broken pipe", "write tcp6 [fd00::7]:1->[fd00::8]:443: broken pipe",
			"write tcp6 [fd00::8]:443: broken pipe",
		},
		"the time of a look at a certificate": {
			"x509: certificate has expired or is not yet valid: current time 2026-11-23T10:00:01Z is after 2026-11-01T00:00:00Z",
			"x509: certificate has expired or is not yet valid: current time 2026-11-23T10:05:01Z is after 2026-11-01T00:00:00Z",
			"x509: certificate has expired or is not yet valid: now is after 2026-11-01T00:00:00Z",
		},
		"what a cloud calls a request": {
			"operation error STS: AssumeRole, https response error StatusCode: 403, RequestID: " +
				"6f1c0c5e-0c3f-4a5e-9b5a-1c2d3e4f5a6b, api error AccessDenied",
			"operation error STS: AssumeRole, https response error StatusCode: 403, RequestID: " +
				"00000000-0c3f-4a5e-9b5a-1c2d3e4f5a6b, api error AccessDenied",
			"operation error STS: AssumeRole, https response error StatusCode: 403, api error AccessDenied",
		},
		"and another": {
			"AADSTS700016: no such application. Trace ID: 6f1c0c5e-0c3f Correlation ID: 1c2d3e4f-5a6b Timestamp: 2026-11-23 10:00:01Z",
			"AADSTS700016: no such application. Trace ID: 11111111-0c3f Correlation ID: 22222222-5a6b Timestamp: 2026-11-23 10:09:59Z",
			"AADSTS700016: no such application",
		},
		"the order of fields": {
			"failed to create typed patch object: errors:\n  .data.a: expected string\n  .binaryData.x: expected string",
			"failed to create typed patch object: errors:\n  .binaryData.x: expected string\n  .data.a: expected string",
			"failed to create typed patch object: errors:\n  .binaryData.x: expected string\n  .data.a: expected string",
		},
		"nothing": {"no such file", "no such file", "no such file"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if first, second := normalise(tc.first), normalise(tc.second); first != tc.want || second != tc.want {
				t.Errorf("got  %s\nand  %s\nwant %s", first, second, tc.want)
			}
		})
	}
}

func TestARetryThatFailsAsBeforeWritesAndTellsNothing(t *testing.T) {
	fails := errors.New("read tcp 10.0.0.7:40312->140.82.121.34:443: i/o timeout")
	b := newTestEnv(t, scripted{func(*kustomizev1.Kustomization) (Result, error) { return Result{}, fails }}, app(), nil)
	for _, port := range []string{"1", "2", "3"} {
		fails = errors.New("read tcp 10.0.0.7:" + port + "->140.82.121.34:443: i/o timeout")
		if _, err := b.reconcile(); !errors.Is(err, fails) {
			t.Fatalf("got %v", err)
		}
	}
	if b.patches != 1 || len(*b.events) != 1 {
		t.Errorf("%d patches and events %v", b.patches, *b.events)
	}
}
