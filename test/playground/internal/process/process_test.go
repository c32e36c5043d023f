// SPDX-License-Identifier: Apache-2.0

package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func start(t *testing.T, script string) (child *Child, log string) {
	t.Helper()
	log = filepath.Join(t.TempDir(), "log")
	child, err := Start(Command{Args: []string{"/bin/sh", "-c", script}, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = child.Stop(t.Context(), 0) })
	return child, log
}

func TestStopEndsTheProcessAndItsChildren(t *testing.T) {
	child, log := start(t, "sleep 1000 & echo $!; wait")
	var grandchild int
	waitFor(t, "the child of the child", func() bool {
		data, _ := os.ReadFile(log)
		_, err := fmt.Sscan(string(data), &grandchild)
		return err == nil
	})
	if err := child.Stop(t.Context(), time.Second); err != nil {
		t.Fatal(err)
	}
	if child.Alive() {
		t.Error("alive after Stop")
	}
	waitFor(t, "the end of the child of the child", func() bool {
		info, err := lookup(grandchild)
		return err != nil || info.zombie
	})
}

func TestStopKillsWhoDoesNotListen(t *testing.T) {
	child, log := start(t, `trap "" TERM; echo deaf; while :; do sleep 0.01; done`)
	waitFor(t, "the trap", func() bool { data, _ := os.ReadFile(log); return len(data) > 0 })
	if err := child.Stop(t.Context(), 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if child.Alive() {
		t.Error("alive after Stop")
	}
}

func TestAStrangerWithTheSamePIDIsLeftAlone(t *testing.T) {
	child, _ := start(t, "sleep 1000")
	stale := Identity{PID: child.PID, Started: "1"}
	if stale.Alive() {
		t.Error("a process that started at another time counts as ours")
	}
	if err := stale.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if !child.Alive() {
		t.Error("the stranger was killed")
	}
}

func TestDoneSaysHowItEnded(t *testing.T) {
	child, _ := start(t, "echo one; echo two; echo three; exit 3")
	<-child.Done()
	if child.Err() == nil || !strings.Contains(child.Err().Error(), "3") {
		t.Errorf("Err() = %v, want exit status 3", child.Err())
	}
	if got := child.Tail(2); got != "two\nthree" {
		t.Errorf("Tail(2) = %q", got)
	}
	if child.Alive() {
		t.Error("alive after its end")
	}
}

func TestTailLeavesOutWhatWasThereBefore(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	for _, word := range []string{"first", "second"} {
		child, err := Start(Command{Args: []string{"/bin/echo", word}, Log: log})
		if err != nil {
			t.Fatal(err)
		}
		<-child.Done()
		if got := child.Tail(10); got != word {
			t.Errorf("Tail = %q, want %q", got, word)
		}
	}
}

func TestParseStat(t *testing.T) {
	rest := " S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20"
	for name, tc := range map[string]struct {
		stat    string
		want    info
		wantErr bool
	}{
		"an ordinary process":                  {stat: "7 (etcd)" + rest, want: info{started: "4242"}},
		"a name with blanks and a parenthesis": {stat: "7 (a) b) S)" + rest, want: info{started: "4242"}},
		"a zombie": {stat: "7 (x)" + strings.Replace(rest, " S ", " Z ", 1),
			want: info{started: "4242", zombie: true}},
		"a line that ends too early is an error": {stat: "7 (x) S 1 2", wantErr: true},
		"no name is an error":                    {stat: "7", wantErr: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseStat([]byte(tc.stat))
			if (err != nil) != tc.wantErr || got != tc.want {
				t.Errorf("got %+v, %v; want %+v, error %v", got, err, tc.want, tc.wantErr)
			}
		})
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add("7 (a b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20")
	f.Fuzz(func(_ *testing.T, stat string) { _, _ = parseStat([]byte(stat)) })
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(5 * time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		case <-tick.C:
		}
	}
}
