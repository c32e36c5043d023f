// SPDX-License-Identifier: Apache-2.0

package tenants

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
)

// secrets looks for secrets where people, log collectors and Prometheus look.
func (s *stage) secrets(t *testing.T) {
	log, err := os.ReadFile(s.sluice.Log())
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]string{"the log": string(log), "the metrics": s.scrape(t)}
	for _, list := range []client.ObjectList{
		&imagev1.ImageRepositoryList{}, &imagev1.ImagePolicyList{}, &imagev1.ImageUpdateAutomationList{}, &sourcev1.GitRepositoryList{},
		&kustomizev1.KustomizationList{}, &notificationv1.ReceiverList{}, &flaggerv1.CanaryList{}, &corev1.EventList{},
	} {
		for _, namespace := range []string{s.Victim, s.Tenant} {
			if err := s.Client.List(t.Context(), list, client.InNamespace(namespace)); err != nil {
				t.Fatal(err)
			}
			data, err := json.Marshal(list)
			if err != nil {
				t.Fatal(err)
			}
			told[fmt.Sprintf("a %T of %s", list, namespace)] = string(data)
		}
	}
	if !strings.Contains(told["the metrics"], "gotk_reconcile") {
		t.Error("the metrics are not those of the controller")
	}
	for where, text := range told {
		// The object that tells a secret itself is the other tenant's.
		text = strings.ReplaceAll(text, "login with "+secret("status"), "")
		for _, form := range append(inBase64(marker), marker, page, s.GitPassword, "987654321") {
			if at := strings.Index(text, form); at >= 0 {
				t.Errorf("%s has %q: ...%s...", where, form, text[max(0, at-300):min(len(text), at+200)])
			}
		}
	}
	if len(s.Evil.saw("GET")) == 0 {
		t.Error("the tenant's server was never asked for anything, so that nothing was tried")
	}
}

// inBase64 are the texts that a text is encoded as, wherever in a longer one it is.
func inBase64(text string) []string {
	var found []string
	for before := range 3 {
		encoded := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("x", before) + text))
		found = append(found, encoded[(before*8+5)/6:len(encoded)-1])
	}
	return found
}

func (s *stage) scrape(t *testing.T) string {
	t.Helper()
	resp, err := http.Get(s.sluice.Metrics)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
