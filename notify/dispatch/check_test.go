// SPDX-License-Identifier: Apache-2.0

package dispatch_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/api/notification/v1beta3"
	"github.com/sluice-cd/sluice/internal/outbound"
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

// Such a Provider was Ready, and every message to it was lost.
func TestAProviderWithAnAddressThatIsRefusedIsStalled(t *testing.T) {
	secret := func(key, value string) *corev1.Secret {
		return &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "room"}, Data: map[string][]byte{key: []byte(value)},
		}
	}
	withSecret := func(p *v1beta3.Provider) { p.Spec.SecretRef = &meta.LocalObjectReference{Name: "room"} }
	for name, tc := range map[string]struct {
		address  string
		edit     func(*v1beta3.Provider)
		secret   *corev1.Secret
		want     string // "" is no error
		terminal bool
	}{
		"a metadata service":              {"http://169.254.169.254/x", func(*v1beta3.Provider) {}, nil, "spec.address: ", true},
		"loopback":                        {"http://localhost/x", func(*v1beta3.Provider) {}, nil, "spec.address: ", true},
		"another host":                    {"https://a.example.com/x", func(*v1beta3.Provider) {}, nil, "", false},
		"a metadata service, by a Secret": {"", withSecret, secret("address", "http://169.254.169.254/x"), "key address of secret", false},
		"a channel that no Secret can have": {"", func(p *v1beta3.Provider) {
			withSecret(p)
			p.Spec.Type = "telegram"
		}, secret("token", "1:a"), "spec.channel is needed", true},
		"no Secret": {"https://a.example.com/x", func(p *v1beta3.Provider) { p.Spec.Type = "generic-hmac" }, nil,
			"spec.secretRef: a Secret with the key token is needed", true},
	} {
		t.Run(name, func(t *testing.T) {
			p := provider(tc.address, tc.edit)
			objects := []client.Object{p}
			if tc.secret != nil {
				objects = append(objects, tc.secret)
			}
			env := newTestEnv(t, func(o *dispatch.Options) { o.Guard = outbound.NewGuard(nil) }, objects...)
			err := env.CheckProvider(t.Context(), p)
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
			if terminal := errors.Is(err, reconcile.TerminalError(nil)); terminal != tc.terminal {
				t.Errorf("terminal is %v: %v", terminal, err)
			}
		})
	}
}
