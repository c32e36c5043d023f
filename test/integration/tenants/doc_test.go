// SPDX-License-Identifier: Apache-2.0

// Package tenants attacks the controller as a tenant would: somebody who may edit
// one namespace, and whose registry, Git server, proxy and webhooks mean harm.
//
// The controller is the real binary, under the memory limit that it is installed
// with. Nothing that the tenant does may
//
//   - end the process, or make it exceed its memory,
//   - hold up the releases of the other tenant,
//   - send an identity or a secret to where the tenant points,
//   - show the tenant what belongs to others.
//
// Secrets have values that occur nowhere else. At the end they are looked for in
// every status and event, in the log, in the metrics, and in what servers of the
// tenant were sent.
package tenants

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"text/template"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/test/chain"
	"github.com/sluice-cd/sluice/test/harness"
)

const (
	// limit is the memory of the container in config/manager.
	limit = 1 << 30
)

// stage is where the attacks happen.
type stage struct {
	*harness.Playground
	Victim, Tenant string // namespaces
	// Evil and Silent are servers of the tenant's; the second one never answers.
	Evil, Silent *server
	sluice       *harness.Controller
	// tenant is a client with the rights of the tenant.
	tenant client.Client
	work   string
}

func TestTenants(t *testing.T) {
	p := harness.Installed(t)
	s := &stage{Playground: p, Victim: p.NewNamespace(t, "victim-", nil), Tenant: p.NewNamespace(t, "tenant-", nil), work: t.TempDir()}
	s.Evil, s.Silent = newServer(t), newServer(t)
	s.letIn(t)
	victim, err := chain.SetupPlain(t.Context(), p, s.Victim, s.work)
	if err != nil {
		t.Fatal(err)
	}
	s.start(t)
	if _, err := victim.Applied(t.Context(), chain.First); err != nil {
		t.Fatalf("%v\n%s", err, s.sluice.Tail(4000))
	}
	s.attack(t)
	t.Run("the other tenant's releases go on", func(t *testing.T) {
		for _, tag := range []string{"1.1.0", "1.2.0"} {
			if err := victim.Release(t.Context(), tag); err != nil {
				t.Fatal(err)
			}
			took, err := victim.Applied(t.Context(), tag)
			if err != nil {
				t.Fatalf("%v\n%s", err, s.sluice.Tail(4000))
			}
			t.Logf("%s was applied after %s", tag, took)
		}
	})
	t.Run("the process keeps within its memory", s.memory)
	t.Run("no secret is told", s.secrets)
}

// letIn gives the tenant the role edit in the namespace, and a service account with
// the same rights for its Kustomizations.
func (s *stage) letIn(t *testing.T) {
	t.Helper()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ApplyFile(t.Context(), filepath.Join(root, "config", "rbac", "users.yaml")); err != nil {
		t.Fatal(err)
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: s.Tenant, Name: "tenant"}}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.Tenant, Name: "tenant"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "edit"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: s.Tenant, Name: "tenant"}},
	}
	for _, object := range []client.Object{account, binding} {
		if err := s.Client.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	config := rest.CopyConfig(s.REST)
	config.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:" + s.Tenant + ":tenant",
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + s.Tenant, "system:authenticated"},
	}
	if s.tenant, err = client.New(config, client.Options{Scheme: s.Client.Scheme()}); err != nil {
		t.Fatal(err)
	}
}

// start starts the controller with the memory of an installation, and with tokens of
// clouds that a metadata service would give it.
func (s *stage) start(t *testing.T) {
	t.Helper()
	t.Setenv("GOMEMLIMIT", "920MiB") // nine tenths
	t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(newMetadata(t), "http://"))
	t.Setenv("SLACK_TOKEN", secret("slack"))
	var err error
	s.sluice, err = s.StartController(t.Context(), s.work, "--no-cross-namespace-refs", "--log-level", "debug")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.sluice.Stop)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.sluice.Tail(6000))
		}
	})
}

// apply makes objects with a client: the text is a template of the stage.
func (s *stage) apply(t *testing.T, as client.Client, text string) error {
	t.Helper()
	var filled bytes.Buffer
	if err := template.Must(template.New("").Delims("<", ">").Parse(text)).Execute(&filled, s); err != nil {
		t.Fatal(err)
	}
	objects, err := harness.Objects(filled.Bytes())
	if err != nil {
		t.Fatalf("%v in\n%s", err, filled.String())
	}
	for _, object := range objects {
		if object.GetNamespace() == "" {
			object.SetNamespace(s.Tenant)
		}
		if err := as.Create(t.Context(), object); err != nil {
			return fmt.Errorf("creating %s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
	return nil
}

// memory checks that the process is the one that was started, and what it used most.
func (s *stage) memory(t *testing.T) {
	used, err := s.sluice.Memory()
	if err != nil {
		t.Fatalf("the controller ended: %v\n%s", err, s.sluice.Tail(4000))
	}
	t.Logf("it has %s, and had at most %d MiB", used, used.Peak>>20)
	if _, err := harness.Eventually(t.Context(), "giving all memory back", harness.Patience, func(context.Context) (bool, string) {
		for line := range strings.Lines(s.scrape(t)) {
			if value, ok := strings.CutPrefix(line, "sluice_memory_budget_used_bytes "); ok {
				return strings.TrimSpace(value) == "0", value
			}
		}
		return false, "no such metric"
	}); err != nil {
		t.Error(err)
	}
	if used.Peak > limit {
		t.Errorf("it had %d MiB, and would have been killed at %d", used.Peak>>20, limit>>20)
	}
}

// files commits files to a new repository of the tenant's.
func (s *stage) files(t *testing.T, name string, files map[string]string) {
	t.Helper()
	repo, err := s.NewRepo(t.Context(), s.Tenant+"-"+name, s.work)
	if err != nil {
		t.Fatal(err)
	}
	content := map[string][]byte{}
	for path, text := range files {
		content[path] = []byte(text)
	}
	if _, err := repo.Commit(t.Context(), "Mean harm", content); err != nil {
		t.Fatal(err)
	}
}
