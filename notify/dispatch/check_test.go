// SPDX-License-Identifier: Apache-2.0

package dispatch_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"

	"github.com/sluice-cd/sluice/api/notification/v1beta3"
	"github.com/sluice-cd/sluice/notify/dispatch"
)

func TestWhatAnAlertMayNotHave(t *testing.T) {
	many := func(n int) map[string]string {
		of := map[string]string{}
		for i := range n {
			of[fmt.Sprint("key", i)] = "value"
		}
		return of
	}
	for name, tc := range map[string]struct {
		edit func(*v1beta3.AlertSpec)
		want string // "" is no error
	}{
		"what Alerts have":         {func(s *v1beta3.AlertSpec) { s.EventMetadata = many(64) }, ""},
		"no Provider":              {func(s *v1beta3.AlertSpec) { s.ProviderRef.Name = "" }, "spec.providerRef.name"},
		"an expression of no end":  {func(s *v1beta3.AlertSpec) { s.InclusionList = []string{"("} }, "spec.inclusionList[0]"},
		"more sources than bounds": {func(s *v1beta3.AlertSpec) { s.EventSources = make([]v1beta3.EventSource, 1001) }, "spec.eventSources"},
		"metadata of many keys":    {func(s *v1beta3.AlertSpec) { s.EventMetadata = many(65) }, "spec.eventMetadata has 65 keys"},
		"metadata that every message would carry, and no message has room for": {
			func(s *v1beta3.AlertSpec) { s.EventMetadata = map[string]string{"a": strings.Repeat("x", 260<<10)} },
			"may have 64 keys and 16384 bytes",
		},
	} {
		t.Run(name, func(t *testing.T) {
			spec := v1beta3.AlertSpec{ProviderRef: meta.LocalObjectReference{Name: "room"}}
			tc.edit(&spec)
			err := dispatch.CheckAlert(spec)
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestWhatAProviderMayNotHave(t *testing.T) {
	expression := func(kind, text string) func(*v1beta3.Provider) {
		return func(p *v1beta3.Provider) { p.Spec.Type, p.Spec.CommitStatusExpr = kind, text }
	}
	for name, tc := range map[string]struct {
		edit func(*v1beta3.Provider)
		want string // "" is no error
	}{
		"what Providers have": {func(*v1beta3.Provider) {}, ""},
		"a type that is none": {func(p *v1beta3.Provider) { p.Spec.Type = "pigeon" }, `spec.type: "pigeon" is not served`},
		"a name of a commit status for a chat": {
			expression("slack", "'a'"), "spec.commitStatusExpr: only types that set commit statuses have it",
		},
		"a name of a commit status that is known later": {expression("gitea", "event.message"), ""},
		"a name of a commit status that is put together": {
			expression("gitea", "event.involvedObject.kind.lowerAscii() + '/' + event.involvedObject.name"), "",
		},
		"a name of a commit status that is a number": {expression("gitea", "1 + 1"), "comes to a value of type int, not to a text"},
		"a name of a commit status without an end":   {expression("gitea", "'a' +"), "spec.commitStatusExpr"},
		"an identity that a chat has no use for": {
			func(p *v1beta3.Provider) { p.Spec.ServiceAccountName = "robot" }, "spec.serviceAccountName: type generic uses no identity",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := provider("https://a.example.com/x", tc.edit)
			err := newTestEnv(t, nil, p).CheckProvider(t.Context(), p)
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}
