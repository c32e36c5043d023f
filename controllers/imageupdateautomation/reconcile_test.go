// SPDX-License-Identifier: Apache-2.0

package imageupdateautomation

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/acl"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

func TestReconcilePushesWhatThePolicyChose(t *testing.T) {
	f := newFixture(t, credentials(), source(), policy("2"))
	a := automation(func(a *imagev1.ImageUpdateAutomation) {
		a.Spec.GitSpec.Commit.MessageTemplate = "{{ .AutomationObject }} {{ .Values.why }}:" +
			"{{ range .Changed.Changes }} {{ .OldValue | upper }} -> {{ .NewValue }}{{ end }}"
		a.Spec.GitSpec.Commit.MessageTemplateValues = map[string]string{"why": "because"}
	})

	result, err := f.Reconcile(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}

	head := f.repo.Head("main")
	want := reconciler.Result{
		Reason: "Succeeded", Message: "repository up-to-date", After: 30 * time.Minute,
		Events: []reconciler.Event{{
			Type: corev1.EventTypeNormal, Reason: "Succeeded",
			Message: "pushed commit '" + head[:7] + "' to branch 'main'\napps/auto because: APP:1 -> app:2",
			Metadata: map[string]string{
				"image.toolkit.fluxcd.io/revision": "main@sha1:" + head, "image.toolkit.fluxcd.io/commit": head,
				"image.toolkit.fluxcd.io/policy": "app", "image.toolkit.fluxcd.io/old": "app:1", "image.toolkit.fluxcd.io/new": "app:2",
			},
		}},
	}
	if diff := cmp.Diff(want, result); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
	status := a.Status
	if status.LastPushCommit != head || status.LastPushTime == nil || status.LastAutomationRunTime == nil ||
		status.ObservedSourceRevision != "main@sha1:"+head {
		t.Errorf("status %+v does not tell of commit %s", status, head)
	}
	if diff := cmp.Diff(imagev1.ObservedPolicies{"app": {Name: "app", Tag: "2"}}, status.ObservedPolicies); diff != "" {
		t.Errorf("observed policies (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(woken{{Namespace: "apps", Name: "app"}}, *f.woken); diff != "" {
		t.Errorf("woken sources (-want +got):\n%s", diff)
	}
	if got := f.repo.File("main", "a.yaml"); got != strings.Replace(markedFile, "app:1", "app:2", 1) {
		t.Errorf("the file is %s", got)
	}

	again, err := f.Reconcile(t.Context(), a)
	if err != nil || len(again.Events) > 0 || f.repo.Head("main") != head {
		t.Errorf("a second run: events %v, error %v, head %s", again.Events, err, f.repo.Head("main"))
	}
}

func TestReconcileTellsAPushWhoseStatusWasLost(t *testing.T) {
	f := newFixture(t, credentials(), source(), policy("2"))
	first, err := f.Reconcile(t.Context(), automation())
	if err != nil {
		t.Fatal(err)
	}
	a := automation() // as the API server has it when the patch failed
	second, err := f.Reconcile(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first.Events, second.Events); diff != "" || a.Status.LastPushCommit != f.repo.Head("main") {
		t.Errorf("lastPushCommit %q, events (-first +second):\n%s", a.Status.LastPushCommit, diff)
	}
	if count := f.repo.Git("rev-list", "--count", "main"); count != "2" {
		t.Errorf("%s commits, want 2", count)
	}
}

func TestReconcileKeepsThePushWhenAPolicyIsHeld(t *testing.T) {
	other := policy("2", func(p *imagev1.ImagePolicy) { p.Name = "other" })
	f := newFixture(t, credentials(), source(), policy("2"), other)
	f.repo.Commit("main", map[string]string{"b.yaml": "digest: x # {\"$imagepolicy\": \"apps:other:digest\"}\n"})
	a := automation()

	result, err := f.Reconcile(t.Context(), a)

	if reconciler.ReasonOf(err, f.Reason) != imagev1.UpdateFailedReason || !strings.Contains(err.Error(), "b.yaml:1: apps:other:digest") {
		t.Errorf("error %v with reason %s", err, reconciler.ReasonOf(err, f.Reason))
	}
	if head := f.repo.Head("main"); a.Status.LastPushCommit != head || len(result.Events) != 1 {
		t.Errorf("lastPushCommit %q, events %v; head is %s", a.Status.LastPushCommit, result.Events, head)
	}
}

func TestReconcileAppliesOnlyPoliciesThatCount(t *testing.T) {
	tests := map[string]struct {
		policy  func(*imagev1.ImagePolicy)
		selects *metav1.LabelSelector
		want    string
	}{
		"a ready one counts": {func(*imagev1.ImagePolicy) {}, nil, "app:2"},
		"one that failed since does not": {
			func(p *imagev1.ImagePolicy) { p.Status.Conditions[0].Status = metav1.ConditionFalse }, nil, "app:1",
		},
		"one with another spec does not":   {func(p *imagev1.ImagePolicy) { p.Generation++ }, nil, "app:1"},
		"a suspended one keeps its choice": {func(p *imagev1.ImagePolicy) { p.Generation++; p.Spec.Suspend = true }, nil, "app:2"},
		"one without a choice does not":    {func(p *imagev1.ImagePolicy) { p.Status.LatestRef = nil }, nil, "app:1"},
		"one of another namespace never":   {func(p *imagev1.ImagePolicy) { p.Namespace = "others" }, nil, "app:1"},
		"a selected one counts": {
			func(*imagev1.ImagePolicy) {}, &metav1.LabelSelector{MatchLabels: map[string]string{"app": "app"}}, "app:2",
		},
		"one that is not selected never": {
			func(*imagev1.ImagePolicy) {}, &metav1.LabelSelector{MatchLabels: map[string]string{"app": "x"}}, "app:1",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, credentials(), source(), policy("2", tc.policy))
			a := automation(func(a *imagev1.ImageUpdateAutomation) { a.Spec.PolicySelector = tc.selects })
			if _, err := f.Reconcile(t.Context(), a); err != nil {
				t.Fatal(err)
			}
			if got := f.repo.File("main", "a.yaml"); !strings.HasPrefix(got, "image: "+tc.want+" ") {
				t.Errorf("the file is %s", got)
			}
		})
	}
}

func TestReconcilePushesToAnotherBranchWithoutAHint(t *testing.T) {
	f := newFixture(t, credentials(), source(), policy("2"))
	base := f.repo.Head("main")
	a := automation(func(a *imagev1.ImageUpdateAutomation) {
		a.Spec.GitSpec.Checkout = &imagev1.GitCheckoutSpec{Reference: imagev1.GitReference{Name: "refs/heads/main"}}
		a.Spec.GitSpec.Push = &imagev1.PushSpec{Branch: "updates"}
	})
	if _, err := f.Reconcile(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if f.repo.Head("updates^") != base || f.repo.Head("main") != base {
		t.Error("the commit is not on a new branch that starts at main")
	}
	if len(*f.woken) != 0 || a.Status.ObservedSourceRevision != "refs/heads/main@sha1:"+base || a.Status.LastPushBase != base ||
		a.Status.LastPushCommit != f.repo.Head("updates") {
		t.Errorf("woken %v, status %+v", *f.woken, a.Status)
	}
}

func TestReconcileRefusesAndFails(t *testing.T) {
	type auto = imagev1.ImageUpdateAutomation
	type repo = sourcev1.GitRepository
	tests := map[string]struct {
		auto     func(*auto)
		repo     func(*repo)
		terminal bool
		reason   string
		says     string
	}{
		"another kind of source": {
			auto: func(a *auto) { a.Spec.SourceRef.Kind = "Bucket" }, terminal: true,
			reason: imagev1.InvalidSourceConfigReason, says: "'Bucket' not supported",
		},
		"another group of source": {
			auto: func(a *auto) { a.Spec.SourceRef.APIVersion = "example.com/v1" }, terminal: true,
			reason: imagev1.InvalidSourceConfigReason, says: "spec.sourceRef",
		},
		"no git": {
			auto: func(a *auto) { a.Spec.GitSpec = nil }, terminal: true, reason: imagev1.InvalidSourceConfigReason,
			says: "spec.git",
		},
		"another strategy": {
			auto: func(a *auto) { a.Spec.Update = &imagev1.UpdateStrategy{Strategy: "Magic"} }, terminal: true,
			reason: imagev1.InvalidUpdateStrategyReason, says: `"Magic"`,
		},
		"another kind of key": {
			auto: func(a *auto) { a.Spec.GitSpec.Commit.SigningKey = &imagev1.SigningKey{Type: "x"} }, terminal: true,
			reason: imagev1.InvalidSourceConfigReason, says: "spec.git.commit.signingKey.type",
		},
		"a key that is not there": {auto: func(a *auto) {
			a.Spec.GitSpec.Commit.SigningKey = &imagev1.SigningKey{SecretRef: meta.LocalObjectReference{Name: "key"}}
		}, reason: imagev1.SourceManagerFailedReason, says: "secret apps/key"},
		"a Secret without a key": {auto: func(a *auto) {
			a.Spec.GitSpec.Commit.SigningKey = &imagev1.SigningKey{Type: "ssh", SecretRef: meta.LocalObjectReference{Name: "git"}}
		}, reason: imagev1.SourceManagerFailedReason, says: "no key 'identity'"},
		"another grouping": {
			auto: func(a *auto) { a.Spec.GitSpec.Commit.Per = "file" }, terminal: true,
			reason: imagev1.InvalidSourceConfigReason, says: "spec.git.commit.per",
		},
		"a refspec of another branch": {
			auto: func(a *auto) { a.Spec.GitSpec.Push = &imagev1.PushSpec{Refspec: "a:b"} }, terminal: true,
			reason: imagev1.InvalidSourceConfigReason, says: "spec.git.push.refspec: the source refs/heads/a",
		},
		"a push branch with a blank": {auto: func(a *auto) { a.Spec.GitSpec.Push = &imagev1.PushSpec{Branch: "a b"} },
			terminal: true, reason: imagev1.InvalidSourceConfigReason, says: `spec.git.push.branch: invalid reference: branch "a b"`},
		"a push branch with two dots": {auto: func(a *auto) { a.Spec.GitSpec.Push = &imagev1.PushSpec{Branch: "a..b"} },
			terminal: true, reason: imagev1.InvalidSourceConfigReason, says: "spec.git.push.branch"},
		"a checkout of no branch": {auto: func(a *auto) {
			a.Spec.GitSpec.Checkout = &imagev1.GitCheckoutSpec{Reference: imagev1.GitReference{Branch: "x.lock"}}
		}, terminal: true, reason: imagev1.InvalidSourceConfigReason, says: "spec.git.checkout.ref"},
		"a refspec that is none": {
			auto: func(a *auto) { a.Spec.GitSpec.Push = &imagev1.PushSpec{Refspec: "main"} }, terminal: true,
			reason: imagev1.InvalidSourceConfigReason, says: "spec.git.push.refspec",
		},
		"push options that the server refuses": {
			auto:   func(a *auto) { a.Spec.GitSpec.Push = &imagev1.PushSpec{Options: map[string]string{"a": "b"}} },
			reason: imagev1.GitOperationFailedReason, says: "does not accept push options",
		},
		"a tag to start from": {auto: func(a *auto) {
			a.Spec.GitSpec.Checkout = &imagev1.GitCheckoutSpec{Reference: imagev1.GitReference{Tag: "v1"}}
		}, terminal: true, reason: imagev1.InvalidSourceConfigReason, says: "push spec not provided"},
		"a semver that is none": {
			repo: func(r *repo) { r.Spec.Reference.SemVer = "x y" }, terminal: true,
			reason: imagev1.InvalidSourceConfigReason, says: "semver",
		},
		"a selector that is none": {auto: func(a *auto) {
			a.Spec.PolicySelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "?"}}}
		}, terminal: true, reason: imagev1.InvalidPolicySelectorReason, says: "spec.policySelector"},
		"a removed template field": {
			auto:     func(a *auto) { a.Spec.GitSpec.Commit.MessageTemplate = "{{ range .Updated.Images }}{{ end }}" },
			terminal: true, reason: imagev1.RemovedTemplateFieldReason, says: "'.Updated'",
		},
		"another removed field": {auto: func(a *auto) {
			a.Spec.GitSpec.Commit.MessageTemplate = "{{ range .Changed.Changes }}{{ $.Changed.ImageResult }}{{ end }}"
		}, terminal: true, reason: imagev1.RemovedTemplateFieldReason, says: "'.Changed.ImageResult'"},
		"a template that is none": {
			auto: func(a *auto) { a.Spec.GitSpec.Commit.MessageTemplate = "{{" }, terminal: true,
			reason: imagev1.GitOperationFailedReason, says: "spec.git.commit.messageTemplate",
		},
		"a template with environment": {
			auto: func(a *auto) { a.Spec.GitSpec.Commit.MessageTemplate = `{{ env "HOME" }}` }, terminal: true,
			reason: imagev1.GitOperationFailedReason, says: `"env" not defined`,
		},
		"a template that never ends": {auto: func(a *auto) {
			a.Spec.GitSpec.Commit.MessageTemplate = `{{ repeat 1000000000000 "x" }}`
		}, terminal: true, reason: imagev1.GitOperationFailedReason,
			says: "spec.git.commit.messageTemplate: executing the commit message template: the template exceeds"},
		"a template that never ends once there are changes": {auto: func(a *auto) {
			a.Spec.GitSpec.Commit.MessageTemplate = `{{ range .Changed.Changes }}{{ range 10000000 }}{{ end }}{{ end }}`
		}, terminal: true, reason: imagev1.GitOperationFailedReason,
			says: "spec.git.commit.messageTemplate: executing the commit message template: the template exceeds"},
		"a template with a field that there is not": {auto: func(a *auto) { a.Spec.GitSpec.Commit.MessageTemplate = "{{ .Changed.Nope }}" },
			terminal: true, reason: imagev1.GitOperationFailedReason, says: "spec.git.commit.messageTemplate: executing"},
		"an address that is none": {auto: func(a *auto) { a.Spec.GitSpec.Commit.Author.Email = "not a mail" },
			terminal: true, reason: imagev1.InvalidSourceConfigReason, says: `spec.git.commit.author.email: "not a mail" is no address`},
		"a name with a line break": {auto: func(a *auto) { a.Spec.GitSpec.Commit.Author.Name = "bot\nparent 0" },
			terminal: true, reason: imagev1.InvalidSourceConfigReason, says: `spec.git.commit.author.name: "bot\nparent 0" has a line break`},
		"a signing key without a Secret": {auto: func(a *auto) { a.Spec.GitSpec.Commit.SigningKey = &imagev1.SigningKey{} },
			terminal: true, reason: imagev1.InvalidSourceConfigReason, says: "spec.git.commit.signingKey.secretRef.name is empty"},
		"a path outside of the repository": {auto: func(a *auto) { a.Spec.Update = &imagev1.UpdateStrategy{Path: "../../etc"} },
			terminal: true, reason: imagev1.InvalidUpdateStrategyReason, says: `spec.update.path: "../../etc" is outside of the repository`},
		"an identity without its Secret": {
			repo: func(r *repo) { r.Spec.Provider, r.Spec.SecretRef = "github", nil }, terminal: true,
			reason: imagev1.InvalidSourceConfigReason, says: "github app data",
		},
		"a proxy that is not there": {
			repo:   func(r *repo) { r.Spec.ProxySecretRef = &meta.LocalObjectReference{Name: "p"} },
			reason: imagev1.SourceManagerFailedReason, says: "spec.proxySecretRef",
		},
		"another transport": {
			repo: func(r *repo) { r.Spec.URL = "ftp://example.com/app" }, terminal: true,
			reason: imagev1.InvalidSourceConfigReason, says: "spec.url",
		},
		"a source that is not there": {
			auto: func(a *auto) { a.Spec.SourceRef.Name = "none" }, reason: imagev1.SourceManagerFailedReason,
			says: "GitRepository apps/none",
		},
		"a secret that is not there": {
			repo: func(r *repo) { r.Spec.SecretRef.Name = "none" }, reason: imagev1.SourceManagerFailedReason,
			says: "secret 'apps/none'",
		},
		"no credentials": {
			repo: func(r *repo) { r.Spec.SecretRef = nil }, reason: imagev1.GitOperationFailedReason,
			says: "set spec.secretRef",
		},
		"a branch that is not there": {
			repo: func(r *repo) { r.Spec.Reference.Branch = "none" }, reason: imagev1.GitOperationFailedReason, says: "none",
		},
		"a path that is not there": {
			auto:   func(a *auto) { a.Spec.Update = &imagev1.UpdateStrategy{Path: "none"} },
			reason: imagev1.UpdateFailedReason, says: "none",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			repo, a := source(), automation()
			if tc.repo != nil {
				tc.repo(repo)
			}
			if tc.auto != nil {
				tc.auto(a)
			}
			f := newFixture(t, credentials(), repo, policy("2"))
			_, err := f.Reconcile(t.Context(), a)
			if err == nil {
				t.Fatal("no error")
			}
			if got := reconciler.ReasonOf(err, f.Reason); got != tc.reason || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("reason %s with %v; want %s with %q", got, err, tc.reason, tc.says)
			}
			if got := errors.Is(err, reconcile.TerminalError(nil)); got != tc.terminal {
				t.Errorf("terminal: %v, want %v", got, tc.terminal)
			}
			if count := f.repo.Git("rev-list", "--count", "main"); count != "1" {
				t.Error("something was committed")
			}
		})
	}
}

func TestAFailureAtTheRemoteNamesItsSecretOnce(t *testing.T) {
	tests := map[string]struct {
		spoil func(t *testing.T, f fixture, secret *corev1.Secret)
		says  string
	}{
		"a wrong password": {func(_ *testing.T, _ fixture, secret *corev1.Secret) { secret.Data["password"] = []byte("hunter2") },
			"refuses the credentials: status 401 Unauthorized; the credentials are those of Secret apps/git, " +
				"spec.secretRef; reading and pushing have to be allowed"},
		"a repository that is not there": {func(t *testing.T, f fixture, _ *corev1.Secret) {
			if err := os.RemoveAll(f.repo.Dir); err != nil {
				t.Fatal(err)
			}
		}, "repository not found: status 404 Not Found; look at spec.url, and whether the credentials of Secret " +
			"apps/git, spec.secretRef may read it"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			secret := credentials()
			f := newFixture(t, source(), policy("2"))
			tc.spoil(t, f, secret)
			if err := f.Client.Create(t.Context(), secret); err != nil {
				t.Fatal(err)
			}
			_, err := f.Reconcile(t.Context(), automation())
			if want := "GitRepository apps/app: listing refs of " + f.repo.URL + ": "; err == nil || !strings.HasPrefix(err.Error(), want) ||
				!strings.HasSuffix(err.Error(), tc.says) {
				t.Errorf("got %v, want %q and %q", err, want, tc.says)
			}
		})
	}
}

func TestReconcileAcrossNamespaces(t *testing.T) {
	tests := map[string]struct {
		annotation       string
		forbid, allowAll bool
		source           string
		want             bool
	}{
		"is refused by default":                    {},
		"is admitted by the annotation":            {annotation: "other, apps", want: true},
		"is admitted with all others":              {annotation: "*", want: true},
		"is not admitted by another name":          {annotation: "apps2,app"},
		"is admitted for the process":              {allowAll: true, want: true},
		"is forbidden for the process":             {annotation: "apps", allowAll: true, forbid: true},
		"does not tell what is there and what not": {source: "none"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			source, secret := source(), credentials()
			source.Namespace, secret.Namespace = "flux-system", "flux-system"
			if tc.annotation != "" {
				source.Annotations = map[string]string{imagev1.WriteFromAnnotation: tc.annotation}
			}
			f := newFixture(t, secret, source, policy("2"))
			f.Access.NoCrossNamespaceRefs, f.Access.AllowCrossNamespaceWrites = tc.forbid, tc.allowAll
			a := automation(func(a *imagev1.ImageUpdateAutomation) {
				a.Spec.SourceRef.Namespace = "flux-system"
				if tc.source != "" {
					a.Spec.SourceRef.Name = tc.source
				}
			})
			_, err := f.Reconcile(t.Context(), a)
			if tc.want {
				if err != nil || a.Status.LastPushCommit == "" {
					t.Errorf("error %v, pushed %q", err, a.Status.LastPushCommit)
				}
				return
			}
			if !errors.Is(err, reconcile.TerminalError(nil)) || reconciler.ReasonOf(err, f.Reason) != acl.AccessDeniedReason {
				t.Errorf("error %v with reason %s", err, reconciler.ReasonOf(err, f.Reason))
			}
		})
	}
}
