// SPDX-License-Identifier: Apache-2.0

package background

import (
	"context"
	"errors"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

type runner = Runner[types.NamespacedName, string]

// newRunner is a runner whose callers wait for no task, and the objects that it wakes.
func newRunner() (*runner, chan types.NamespacedName) {
	woken := make(chan types.NamespacedName, 10)
	return &runner{Wake: func(object types.NamespacedName) { woken <- object }}, woken
}

func object(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "apps", Name: name}
}

func request(name string) Request[types.NamespacedName] {
	return Request[types.NamespacedName]{Key: object(name), Namespace: "apps", Host: "example.com", Now: time.Unix(0, 0)}
}

// until is work that ends with a value when the channel is closed, or with its context.
func until(end <-chan struct{}, value string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		select {
		case <-end:
			return value, nil
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

func immediately(value string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return value, nil }
}

// never is work that must not be started.
func never(context.Context) (string, error) {
	return "", errors.New("started though another task is under way")
}

func mustPend(t *testing.T, r *runner, req Request[types.NamespacedName], work func(context.Context) (string, error)) {
	t.Helper()
	if got, err := r.Run(t.Context(), req, work); !errors.Is(err, ErrPending) {
		t.Fatalf("got %q, %v, want a pending task", got, err)
	}
}

func next(t *testing.T, woken chan types.NamespacedName) types.NamespacedName {
	t.Helper()
	select {
	case object := <-woken:
		return object
	case <-time.After(5 * time.Minute):
		t.Fatal("no object was woken")
		return types.NamespacedName{}
	}
}

func TestATaskWithinThePatienceIsReturned(t *testing.T) {
	r, woken := newRunner()
	r.Patience = time.Minute
	failed := errors.New("and an error")
	got, err := r.Run(t.Context(), request("a"), func(context.Context) (string, error) { return "value", failed })
	if got != "value" || !errors.Is(err, failed) || r.Has(object("a")) || len(woken) > 0 {
		t.Errorf("got %q, %v", got, err)
	}
	if len(r.hosts) != 0 {
		t.Errorf("%d hosts are remembered", len(r.hosts))
	}
}

func TestALateTaskWakesItsObjectOnceAndSaysWhetherItIsWantedAgain(t *testing.T) {
	for name, again := range map[string]func(*testing.T, *runner) bool{
		"nobody asks meanwhile":   func(*testing.T, *runner) bool { return false },
		"somebody asks":           func(_ *testing.T, r *runner) bool { return r.Repeat(object("a")) },
		"somebody joins":          func(t *testing.T, r *runner) bool { mustPend(t, r, request("a"), never); return false },
		"somebody asks for other": func(_ *testing.T, r *runner) bool { return r.Repeat(object("b")) },
	} {
		t.Run(name, func(t *testing.T) {
			r, woken := newRunner()
			end := make(chan struct{})
			mustPend(t, r, request("a"), until(end, "value"))
			if _, done := r.Collect(object("a")); done {
				t.Error("it has a result before it is done")
			}
			want := again(t, r)
			close(end)
			if next(t, woken) != object("a") || len(woken) > 0 {
				t.Error("another object was woken")
			}
			if r.Repeat(object("a")) {
				t.Error("it is under way still")
			}
			got, done := r.Collect(object("a"))
			if !done || got != (Result[string]{Value: "value", Again: want}) {
				t.Errorf("got %+v", got)
			}
			if _, done := r.Collect(object("a")); done || r.Has(object("a")) {
				t.Error("the result is there a second time")
			}
		})
	}
}

func TestTheResultOfALateTaskIsForTheNextRequestForTheSame(t *testing.T) {
	for name, tc := range map[string]struct {
		input string
		after time.Duration
		want  string
	}{
		"the same":                 {want: "late"},
		"another input":            {input: "other", want: "new"},
		"the same, but much later": {after: time.Minute, want: "new"},
	} {
		t.Run(name, func(t *testing.T) {
			r, woken := newRunner()
			r.Keep = time.Minute
			end := make(chan struct{})
			mustPend(t, r, request("a"), until(end, "late"))
			close(end)
			next(t, woken)
			r.Patience = time.Minute
			again := request("a")
			again.Input, again.Now = tc.input, again.Now.Add(tc.after)
			if got, err := r.Run(t.Context(), again, immediately("new")); got != tc.want || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestATaskThatNobodyWantsIsCancelled(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *runner){
		"another input": func(t *testing.T, r *runner) {
			other := request("a")
			other.Input = "other"
			mustPend(t, r, other, until(nil, ""))
		},
		"a forgotten key": func(_ *testing.T, r *runner) { r.Forget(object("a")) },
	} {
		t.Run(name, func(t *testing.T) {
			r, woken := newRunner()
			begun, ended := make(chan struct{}), make(chan error, 1)
			mustPend(t, r, request("a"), func(ctx context.Context) (string, error) {
				close(begun)
				<-ctx.Done()
				ended <- ctx.Err()
				return "", ctx.Err()
			})
			<-begun
			end(t, r)
			select {
			case <-ended:
			case <-time.After(5 * time.Minute):
				t.Fatal("it goes on")
			}
			if len(woken) > 0 {
				t.Error("and an object is woken")
			}
		})
	}
}

func TestACancelledTaskHasAResult(t *testing.T) {
	r, woken := newRunner()
	mustPend(t, r, request("a"), until(nil, ""))
	r.Cancel(object("a"))
	next(t, woken)
	if got, done := r.Collect(object("a")); !done || !errors.Is(got.Err, context.Canceled) {
		t.Errorf("got %+v", got)
	}
}

func TestNobodyWaitsForAHostThatKeepsSomebodyWaiting(t *testing.T) {
	r, woken := newRunner()
	end := make(chan struct{})
	mustPend(t, r, request("a"), until(end, ""))
	r.Patience = time.Hour
	mustPend(t, r, request("b"), until(end, "")) // would wait an hour
	other := request("c")
	other.Host = "elsewhere.example.com"
	if got, err := r.Run(t.Context(), other, immediately("value")); got != "value" || err != nil {
		t.Errorf("at another host: %q, %v", got, err)
	}
	close(end)
	next(t, woken)
	next(t, woken)
	if got, err := r.Run(t.Context(), request("d"), immediately("value")); got != "value" || err != nil {
		t.Errorf("when the host answers again: %q, %v", got, err)
	}
}

func TestAHostHasSoManySlots(t *testing.T) {
	for name, limit := range map[string]func(*runner){
		"in all":        func(r *runner) { r.PerHost = 1 },
		"per namespace": func(r *runner) { r.PerNamespace = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			r, woken := newRunner()
			limit(r)
			begun, end, second := make(chan struct{}), make(chan struct{}), make(chan struct{})
			mustPend(t, r, request("a"), func(ctx context.Context) (string, error) {
				close(begun)
				return until(end, "a")(ctx)
			})
			<-begun
			mustPend(t, r, request("b"), func(context.Context) (string, error) { close(second); return "b", nil })
			select {
			case <-second:
				t.Fatal("two at once")
			default:
			}
			mustPend(t, r, request("c"), never)
			r.Cancel(object("c")) // it waits for a slot
			if got := next(t, woken); got != object("c") {
				t.Errorf("%s was woken", got)
			}
			close(end)
			next(t, woken)
			next(t, woken)
			for _, name := range []string{"a", "b"} {
				if got, _ := r.Collect(object(name)); got.Value != name {
					t.Errorf("%s: got %+v", name, got)
				}
			}
		})
	}
}

func TestARunnerHasSoManyTasks(t *testing.T) {
	r, _ := newRunner()
	r.Limit = 1
	mustPend(t, r, request("a"), until(nil, ""))
	if _, err := r.Run(t.Context(), request("b"), never); !errors.Is(err, ErrBusy) {
		t.Errorf("one too many: %v", err)
	}
	mustPend(t, r, request("a"), never)
	r.Forget(object("a"))
	mustPend(t, r, request("b"), until(nil, ""))
}

// A namespace whose servers never answer could have all tasks of a kind.
func TestANamespaceHasAShareOfTheTasks(t *testing.T) {
	r, woken := newRunner()
	r.Limit = 5
	of := func(namespace, name string) Request[types.NamespacedName] {
		req := request(name)
		req.Key.Namespace, req.Namespace = namespace, namespace
		return req
	}
	full := func(req Request[types.NamespacedName]) {
		t.Helper()
		if _, err := r.Run(t.Context(), req, never); !errors.Is(err, ErrBusy) {
			t.Errorf("%s, one too many: %v", req.Key, err)
		}
	}
	end := make(chan struct{})
	for _, name := range []string{"a", "b", "c"} {
		mustPend(t, r, of("theirs", name), until(nil, ""))
	}
	full(of("theirs", "d"))
	mustPend(t, r, of("apps", "a"), until(end, ""))
	mustPend(t, r, of("apps", "b"), until(nil, ""))
	full(of("apps", "c")) // though it has less than its share

	other := of("theirs", "a")
	other.Input = "other"
	mustPend(t, r, other, until(nil, "")) // in the place of the one before
	full(of("theirs", "d"))
	r.Forget(other.Key)
	mustPend(t, r, of("theirs", "d"), until(nil, ""))
	close(end)
	next(t, woken)
	full(of("apps", "c")) // until what is done is collected
	if _, done := r.Collect(object("a")); !done {
		t.Fatal("it is not done")
	}
	mustPend(t, r, of("apps", "c"), until(nil, ""))
	for key := range r.tasks {
		r.Forget(key)
	}
	if len(r.held) > 0 {
		t.Errorf("without tasks %v are counted", r.held)
	}
}

func TestAPanicOfATaskIsAnError(t *testing.T) {
	r, _ := newRunner()
	r.Patience = time.Minute
	_, err := r.Run(t.Context(), request("a"), func(context.Context) (string, error) { panic("oh") })
	if err == nil || err.Error() != "panic: oh [recovered]" {
		t.Errorf("got %v", err)
	}
}

func TestANamespaceWaitsForItsOwnTasksOnly(t *testing.T) {
	r, woken := newRunner()
	r.PerNamespace = 2
	end := make(chan struct{})
	defer close(end)
	for i := range 5 { // through a proxy that never answers, say
		theirs := request(string(rune('a' + i)))
		theirs.Key.Namespace, theirs.Namespace = "theirs", "theirs"
		mustPend(t, r, theirs, until(end, ""))
	}
	r.Patience = time.Minute // their slowness is not taken for the host's
	if got, err := r.Run(t.Context(), request("app"), immediately("done")); got != "done" || err != nil || len(woken) > 0 {
		t.Errorf("got %q, %v", got, err)
	}
}
