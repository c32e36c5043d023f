// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/api/notification/v1beta3"
	"github.com/sluice-cd/sluice/internal/cel"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/notify/message"
)

// Repository is a repository at a forge, and the credentials that it is written with.
type Repository struct {
	// Forge is a type of commit statuses, such as github.
	Forge string
	// URL is the URL of the repository.
	URL string
	// Secret authenticates; nil is nobody.
	Secret *corev1.Secret
	Proxy  *url.URL
	// Provider is the object that asks.
	Provider types.NamespacedName
}

// Status is one status of a commit.
type Status struct {
	Commit, Context, State, Description, URL string
	// Genre is before the context where statuses have one.
	Genre string
}

// Forges write to repositories. Errors that time may cure are [outbox.Temporary].
type Forges interface {
	// Check says what is wrong with a repository, asking nobody.
	Check(r Repository) error
	// SetStatus sets a status, unless the commit has the same.
	SetStatus(ctx context.Context, r Repository, s Status) error
	// Comment writes a comment on a pull request, or changes the one with the marker that
	// is its own.
	Comment(ctx context.Context, r Repository, number int64, marker, text string) error
	// Dispatch starts workflows of GitHub that are triggered by repository_dispatch.
	Dispatch(ctx context.Context, r Repository, e message.Event) error
}

// repositoryOf is the repository that a Provider names.
func repositoryOf(to *resolvedProvider) Repository {
	name := to.provider.Spec.Type
	if name == message.GitHubDispatch {
		name = "github"
	}
	if forge := message.CommentForge[name]; forge != "" {
		name = forge
	}
	r := Repository{
		Forge: name, URL: git.FromSCP(to.target.Address), Secret: to.secret, Proxy: to.proxy, Provider: client.ObjectKeyFromObject(to.provider),
	}
	if to.settings.CA == "" && to.settings.Cert == "" {
		return r
	}
	// Forges take certificates from the Secret that authenticates.
	secret := &corev1.Secret{Data: map[string][]byte{}}
	if to.secret != nil {
		secret = to.secret.DeepCopy()
	}
	secret.Data["ca.crt"], secret.Data["tls.crt"], secret.Data["tls.key"] =
		[]byte(to.settings.CA), []byte(to.settings.Cert), []byte(to.settings.Key)
	r.Secret = secret
	return r
}

// setStatus sets the status of the commit that an event is about.
func (d *Dispatcher) setStatus(ctx context.Context, to *resolvedProvider, o messageEntry) error {
	status, err := message.StatusOf(o.Event)
	if err != nil {
		return err
	}
	name, err := d.contextOf(ctx, to.provider, o)
	if err != nil {
		return fmt.Errorf("spec.commitStatusExpr: %w", err)
	}
	repository := repositoryOf(to)
	if err := d.providers.identify(ctx, to, &repository); err != nil {
		return err
	}
	return d.opts.Forges.SetStatus(ctx, repository, Status{
		Commit: status.Commit, Context: name, State: status.State, Description: status.Description,
		URL: message.Link(o.Event, status.Commit, to.target.Address), Genre: message.Genre(o.Event),
	})
}

// contextOf is the name of the status.
func (d *Dispatcher) contextOf(ctx context.Context, p *v1beta3.Provider, o messageEntry) (string, error) {
	if p.Spec.CommitStatusExpr == "" {
		return message.DefaultContext(o.Event, string(p.UID)), nil
	}
	var alert v1beta3.Alert
	if err := d.opts.Client.Get(ctx, o.Alert.key(), &alert); client.IgnoreNotFound(err) != nil {
		return "", temporary(err)
	} else if apierrors.IsNotFound(err) {
		alert = *o.Alert.alert()
	}
	variables := map[string]any{}
	for name, value := range map[string]any{"event": &o.Event, "alert": &alert, "provider": p} {
		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(value)
		if err != nil {
			return "", err
		}
		variables[name] = fields
	}
	value, err := d.evaluate(ctx, p, variables)
	if err != nil {
		return "", err
	}
	name, ok := value.(string)
	if !ok || name == "" {
		return "", errors.New("it does not come to a text")
	}
	return name, nil
}

// maxEvaluations is how many expressions of Providers are evaluated at once, and
// evaluationTime for one of them: the process has other things to do.
const (
	maxEvaluations = 2
	evaluationTime = 5 * time.Second
)

// evaluate compiles and evaluates the expression of a Provider when it is the turn of its
// namespace: each may take some tenths of a second.
func (d *Dispatcher) evaluate(ctx context.Context, p *v1beta3.Provider, variables map[string]any) (any, error) {
	if err := d.evaluations.Acquire(ctx, p.Namespace); err != nil {
		return nil, temporary(fmt.Errorf("too many expressions are being evaluated: %w", err))
	}
	defer d.evaluations.Release(p.Namespace)
	program, err := compileContext(p.Spec.CommitStatusExpr)
	if err != nil {
		return nil, err
	}
	within, cancel := context.WithTimeout(ctx, evaluationTime)
	defer cancel()
	return program.Evaluate(within, variables)
}

func compileContext(text string) (*cel.Program, error) {
	return cel.CompileText(text, "event", "alert", "provider")
}

// comment writes to the pull request that an event is about.
func (d *Dispatcher) comment(ctx context.Context, to *resolvedProvider, e message.Event) error {
	text := e.Metadata[eventv1.MetaChangeRequestKey]
	number, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return fmt.Errorf("%s in the metadata of the event is no number: %q", eventv1.MetaChangeRequestKey, text)
	}
	forge := message.CommentForge[to.provider.Spec.Type]
	marker := message.CommentMarker(forge, string(to.provider.UID), e)
	return d.opts.Forges.Comment(ctx, repositoryOf(to), number, marker, marker+"\n\n"+message.Markdown(e))
}

// invalid is an error that only another spec cures.
func invalid(err error) error {
	return reconcile.TerminalError(reconciler.WithReason(v1beta3.ValidationFailedReason, err))
}

func invalidExpression(err error) error {
	return reconcile.TerminalError(reconciler.WithReason(meta.InvalidCELExpressionReason, err))
}
