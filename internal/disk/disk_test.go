// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestNoNamespaceTakesTheRoomOfAll(t *testing.T) {
	s := New(100)
	s.Record("", 30)
	for _, step := range []struct {
		name      string
		namespace string
		bytes     int64
		says      string
	}{
		{"a share", "a", 50, ""},
		{"more than the share", "a", 1, "namespace a may use 50 bytes"},
		{"what is left", "b", 20, ""},
		{"more than is left", "b", 1, "all 100 bytes of --storage-limit"},
	} {
		err := s.Reserve(step.namespace, step.bytes)
		if (step.says == "") != (err == nil) || err != nil && (!errors.Is(err, ErrFull) || !strings.Contains(err.Error(), step.says)) {
			t.Errorf("%s: %v", step.name, err)
		}
	}
	s.Release("a", 50)
	if err := s.Reserve("b", 30); err != nil {
		t.Errorf("after something was removed: %v", err)
	}
	if err := (*Space)(nil).Reserve("a", 1<<62); err != nil {
		t.Errorf("without an end: %v", err)
	}
}

func TestAMeterTakesForWhatPassesAndKeepsWhatStays(t *testing.T) {
	s := New(6 * grain)
	meter := Meter{Space: s, Namespace: "a"}
	n, err := io.Copy(io.Discard, meter.Reader(bytes.NewReader(make([]byte, 10*grain))))
	if !errors.Is(err, ErrFull) || n > 3*grain {
		t.Errorf("read %d bytes, %v", n, err)
	}
	meter.Commit(0)
	if s.Used("a") != 0 {
		t.Errorf("after a failure %d bytes are in use", s.Used("a"))
	}
	if _, err := meter.Writer(io.Discard).Write(make([]byte, 2*grain)); err != nil {
		t.Error(err)
	}
	meter.Commit(7)
	if s.Used("a") != 7 {
		t.Errorf("%d bytes are in use, want 7", s.Used("a"))
	}
}

func TestSizeOf(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "a"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]int{"f": 3, "a/g": 4} {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := SizeOf(dir); got != 7 {
		t.Errorf("got %d", got)
	}
	if got := SizeOf(filepath.Join(dir, "none")); got != 0 {
		t.Errorf("of nothing: %d", got)
	}
}
