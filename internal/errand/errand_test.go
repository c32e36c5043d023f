package errand

import (
	"context"
	"errors"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// desk is one whose errands are all late, and what it tells.
func desk(keep time.Duration) (*Desk, chan Late) {
	d, told := &Desk{Keep: keep}, make(chan Late, 10)
	d.Tell(func(late Late) { told <- late })
	return d, told
}

func order(name string) Order {
	return Order{Object: types.NamespacedName{Namespace: "apps", Name: name}, Host: "example.com", At: time.Unix(0, 0)}
}

// until returns a call that ends when the channel is closed, or its context ends.
func until(end <-chan struct{}, value any) func(context.Context) (any, error) {
	return func(ctx context.Context) (any, error) {
		select {
		case <-end:
			return value, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func never(context.Context) (any, error) {
	return nil, errors.New("called though another one is under way")
}

func pending(t *testing.T, d *Desk, o Order, call func(context.Context) (any, error)) {
	t.Helper()
	if got, err := d.Run(t.Context(), o, call); !errors.Is(err, ErrPending) {
		t.Fatalf("got %v, %v", got, err)
	}
}

// next is what the desk tells next.
func next(t *testing.T, told chan Late) Late {
	t.Helper()
	select {
	case late := <-told:
		return late
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was told")
		return Late{}
	}
}

func TestWhatIsDoneSoonIsReturned(t *testing.T) {
	d, told := desk(0)
	d.Patience = time.Minute
	got, err := d.Run(t.Context(), order("a"), func(context.Context) (any, error) { return 1, errors.New("and an error") })
	if got != 1 || err == nil || d.Open(order("a").Object) || len(told) > 0 {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestALateErrandIsToldOnceAndSaysThatItIsWantedAgain(t *testing.T) {
	for name, again := range map[string]func(*testing.T, *Desk) bool{
		"nobody asks meanwhile":   func(*testing.T, *Desk) bool { return false },
		"somebody looks":          func(_ *testing.T, d *Desk) bool { return d.Busy(order("a").Object) },
		"somebody runs it":        func(t *testing.T, d *Desk) bool { pending(t, d, order("a"), never); return true },
		"somebody looks at other": func(_ *testing.T, d *Desk) bool { return d.Busy(order("b").Object) },
	} {
		t.Run(name, func(t *testing.T) {
			d, told := desk(0)
			end := make(chan struct{})
			pending(t, d, order("a"), until(end, "value"))
			want := again(t, d)
			close(end)
			if got := next(t, told); got != (Late{Object: order("a").Object, Again: want, Value: "value"}) {
				t.Errorf("told %+v", got)
			}
			if d.Open(order("a").Object) {
				t.Error("it is open still")
			}
		})
	}
}

func TestAKeptErrandIsThereForWhoAsksForTheSame(t *testing.T) {
	d, told := desk(time.Minute)
	end := make(chan struct{})
	pending(t, d, order("a"), until(end, "value"))
	close(end)
	next(t, told)
	if got, err := d.Run(t.Context(), order("a"), never); got != "value" || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestAKeptErrandEndsWithWhatItWasFor(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *Desk){
		"another order": func(t *testing.T, d *Desk) {
			other := order("a")
			other.What = "other"
			pending(t, d, other, until(nil, nil))
		},
		"nobody is left": func(_ *testing.T, d *Desk) { d.Forget(order("a").Object) },
	} {
		t.Run(name, func(t *testing.T) {
			d, told := desk(time.Minute)
			ended := make(chan error, 1)
			pending(t, d, order("a"), func(ctx context.Context) (any, error) {
				<-ctx.Done()
				ended <- ctx.Err()
				return nil, ctx.Err()
			})
			end(t, d)
			select {
			case <-ended:
			case <-time.After(20 * time.Second):
				t.Fatal("it goes on")
			}
			if len(told) > 0 {
				t.Error("and somebody is told")
			}
		})
	}
}

func TestAStoppedErrandIsToldOf(t *testing.T) {
	d, told := desk(0)
	pending(t, d, order("a"), until(nil, nil))
	d.Stop(order("a").Object)
	if got := next(t, told); !errors.Is(got.Err, context.Canceled) {
		t.Errorf("told %+v", got)
	}
}

func TestNobodyWaitsForAHostThatKeepsSomebodyWaiting(t *testing.T) {
	d, _ := desk(0)
	end := make(chan struct{})
	defer close(end)
	pending(t, d, order("a"), until(end, nil))
	d.Patience = time.Hour
	pending(t, d, order("b"), until(end, nil)) // would hang
	other := order("c")
	other.Host = "elsewhere.example.com"
	if got, err := d.Run(t.Context(), other, func(context.Context) (any, error) { return 1, nil }); got != 1 || err != nil {
		t.Errorf("at another host: %v, %v", got, err)
	}
}

func TestAHostHasSoManySlots(t *testing.T) {
	d, told := desk(0)
	d.Slots = 1
	begun, end, second := make(chan struct{}), make(chan struct{}), make(chan struct{})
	pending(t, d, order("a"), func(ctx context.Context) (any, error) {
		close(begun)
		return until(end, "a")(ctx)
	})
	<-begun
	pending(t, d, order("b"), func(context.Context) (any, error) { close(second); return "b", nil })
	select {
	case <-second:
		t.Fatal("two at once")
	default:
	}
	pending(t, d, order("c"), never)
	d.Stop(order("c").Object) // it has not begun
	if got := next(t, told); got.Object != order("c").Object || !errors.Is(got.Err, context.Canceled) {
		t.Errorf("told %+v", got)
	}
	close(end)
	got := map[any]bool{next(t, told).Value: true, next(t, told).Value: true}
	if !got["a"] || !got["b"] {
		t.Errorf("got %v", got)
	}
}

func TestAPanicIsAnError(t *testing.T) {
	d, _ := desk(0)
	d.Patience = time.Minute
	if _, err := d.Run(t.Context(), order("a"), func(context.Context) (any, error) { panic("oh") }); err == nil || err.Error() != "panic: oh [recovered]" {
		t.Errorf("got %v", err)
	}
}

func TestANamespaceWaitsForItsOwnErrandsOnly(t *testing.T) {
	d, told := desk(0)
	d.Slots = 2
	end := make(chan struct{})
	defer close(end)
	for i := range 5 { // through a proxy that never answers, say
		o := order(string(rune('a' + i)))
		o.Object.Namespace = "theirs"
		pending(t, d, o, until(end, nil))
	}
	pending(t, d, order("app"), func(context.Context) (any, error) { return "done", nil })
	if late := next(t, told); late.Object != order("app").Object || late.Value != "done" {
		t.Errorf("told %v", late)
	}
	if d.slow(order("app").lane()) {
		t.Error("the slowness of others is taken for that of the host")
	}
}
