// SPDX-License-Identifier: Apache-2.0

package follow

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
)

// mapsAndSecrets lists ConfigMaps, with the number of Secrets of their namespace beside each.
func mapsAndSecrets() *Listing {
	return &Listing{
		Kinds: []Kind{
			{New: func() client.ObjectList { return &corev1.ConfigMapList{} }},
			{New: func() client.ObjectList { return &corev1.SecretList{} }, Beside: true},
		},
		Rows: func(lists []client.ObjectList) Rows {
			rows := Rows{Table: output.Table{Columns: []string{"NAMESPACE", "NAME", "SECRETS", "DATA"}, Short: 3}}
			for _, m := range lists[0].(*corev1.ConfigMapList).Items {
				secrets := strings.Repeat("*", len(lists[1].(*corev1.SecretList).Items))
				rows.Add(m.Data, "configmap/"+m.Name, m.Namespace, m.Name, secrets, m.Data["a"])
			}
			return rows
		},
	}
}

func everything(Kind) []client.ListOption { return nil }

// writer is what a command prints to, while it runs.
type writer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (w *writer) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// until waits for a condition, for ten seconds at most.
func until(t *testing.T, done func() bool) {
	t.Helper()
	_ = wait.PollUntilContextTimeout(t.Context(), time.Millisecond, 10*time.Second, true,
		func(context.Context) (bool, error) { return done(), nil }) // who calls says what is missing
}

// await waits until a command has printed a text.
func (w *writer) await(t *testing.T, want string) {
	t.Helper()
	until(t, func() bool { return w.String() == want })
	if got := w.String(); got != want {
		t.Fatalf("printed %q, want %q", got, want)
	}
}

func TestAListingGoesOnWithALineForEachChange(t *testing.T) {
	c := fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{Watch: watchUntilDone}).WithObjects(
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "a"}, Data: map[string]string{"a": "1"}},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "b"}},
	).Build()
	ctx, cancel := context.WithCancel(t.Context())
	var out, errs writer
	cmd := &cobra.Command{}
	cmd.SetContext(ctx)
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	l := mapsAndSecrets()
	read, err := l.read(ctx, c, everything)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- l.follow(cmd, c, everything, read) }()
	want := "apps  a  -\napps  b  -\n"
	out.await(t, want)

	b := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "b"}, Data: map[string]string{"a": "2"}}
	// Until the watch has begun, whose beginning a fake client does not replay.
	until(t, func() bool {
		b.Data["n"] += "n"
		if err := c.Update(ctx, b); err != nil {
			t.Fatal(err)
		}
		return out.String() != want
	})
	if !strings.HasPrefix(out.String(), want+"apps  b  -\n") {
		t.Fatalf("printed %q", out.String())
	}
	until(t, func() bool {
		if err := c.Delete(ctx, b); client.IgnoreNotFound(err) != nil {
			t.Fatal(err)
		}
		return errs.String() != ""
	})
	errs.await(t, "ConfigMap apps/b was deleted\n")
	cancel()
	if err := <-done; err != nil {
		t.Errorf("the person has seen enough, and is told %v", err)
	}
}

// watchUntilDone ends a watch with its context, as an API server does and a fake does not.
func watchUntilDone(ctx context.Context, c client.WithWatch, of client.ObjectList, opts ...client.ListOption) (watch.Interface, error) {
	w, err := c.Watch(ctx, of, opts...)
	if err == nil {
		context.AfterFunc(ctx, w.Stop)
	}
	return w, err
}

// refusing lists nothing, or fails as list and watch say for a kind.
func refusing(list, follow func(kind string) error) client.WithWatch {
	kindOf := func(l client.ObjectList) string {
		if _, is := l.(*corev1.SecretList); is {
			return "Secret"
		}
		return "ConfigMap"
	}
	return fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
		List: func(_ context.Context, _ client.WithWatch, into client.ObjectList, _ ...client.ListOption) error {
			return list(kindOf(into))
		},
		Watch: func(ctx context.Context, _ client.WithWatch, l client.ObjectList, _ ...client.ListOption) (watch.Interface, error) {
			if err := follow(kindOf(l)); err != nil {
				return nil, err
			}
			w := watch.NewFake()
			context.AfterFunc(ctx, w.Stop)
			return w, nil
		},
	}).Build()
}

func TestAListingThatIsRefusedSaysWhatIs(t *testing.T) {
	forbidden := func(kind string) error {
		if kind == "ConfigMap" {
			return nil
		}
		return apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "", errors.New("no"))
	}
	unserved := func(string) error { return &meta.NoKindMatchError{} }
	fine := func(string) error { return nil }
	for name, tc := range map[string]struct {
		list, follow func(string) error
		optional     bool
		want         string
	}{
		"a kind that may not be listed":                   {list: forbidden, follow: fine, want: "listing SecretList: "},
		"one of several that may not be":                  {list: forbidden, follow: fine, optional: true, want: "listing SecretList: "},
		"a kind that may be listed and not be followed":   {list: fine, follow: forbidden, want: "following Secret: "},
		"a kind that is not served":                       {list: unserved, follow: fine, want: "the cluster does not serve ConfigMap"},
		"none of the kinds of which some may be unserved": {list: unserved, follow: fine, optional: true, want: "the cluster serves none"},
	} {
		t.Run(name, func(t *testing.T) {
			c, l := refusing(tc.list, tc.follow), mapsAndSecrets()
			l.Optional = tc.optional
			cmd := &cobra.Command{}
			cmd.SetContext(t.Context())
			read, err := l.read(t.Context(), c, everything)
			if err == nil {
				err = l.follow(cmd, c, everything, read)
			}
			if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}
