// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clocktesting "k8s.io/utils/clock/testing"
)

// TestWhatBecameOfTheFilesCostsNoMoreThanAScan damages the cache of a store in all
// the ways that a crash, a full disk or a person can.
func TestWhatBecameOfTheFilesCostsNoMoreThanAScan(t *testing.T) {
	for name, tc := range map[string]struct {
		damage  func(t *testing.T, file string)
		restart bool
		age     time.Duration // of the tag afterwards
		told    bool
	}{
		"a listing that was cut off": {restart: true, told: true, damage: func(t *testing.T, file string) {
			if err := os.Truncate(file, 20); err != nil {
				t.Fatal(err)
			}
		}},
		"a folder that is gone": {restart: true, damage: func(t *testing.T, file string) {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}},
		"a file that goes while it is in use": {age: time.Hour, damage: func(t *testing.T, file string) {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}},
		"a new file that was never finished": {restart: true, age: time.Hour, damage: func(t *testing.T, file string) {
			if err := os.WriteFile(file+newPrefix, []byte("half"), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dir, told := t.TempDir(), []error(nil)
			open := func() *Store {
				return NewStore(InDir(dir, func(err error) { told = append(told, err) }), WithClock(clocktesting.NewFakePassiveClock(start)))
			}
			s := open()
			got := scanned(t, s, start, "a", "1")
			tc.damage(t, s.disk.path(nameOf(got.list.id)))
			if tc.restart {
				s = open()
			}
			got = scanned(t, s, start.Add(time.Hour), "a", "1", "2")
			if diff := cmp.Diff(map[string]time.Duration{"1": time.Hour - tc.age, "2": time.Hour}, ages(got, "1", "2")); diff != "" {
				t.Error(diff)
			}
			if tc.told != (len(told) == 1 && errors.Is(told[0], errDamaged)) {
				t.Errorf("told of %v", told)
			}
			again := scanned(t, open(), start.Add(2*time.Hour), "a", "1", "2")
			if diff := cmp.Diff(ages(got, "1", "2"), ages(again, "1", "2")); diff != "" {
				t.Errorf("what was written instead: %s", diff)
			}
		})
	}
}

func TestASecondImageMakesNoFolder(t *testing.T) {
	dir := t.TempDir()
	s := kept(t, dir, start)
	got := scanned(t, s, start, "a", "1")
	s.Seen(got.Image(), "1", "sha256:a")
	s.Seen("other", "1", "sha256:a")
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 {
		t.Fatalf("%v, %v", entries, err)
	}
	for _, entry := range entries {
		if entry.IsDir() {
			t.Errorf("%s is a folder", entry.Name())
		}
	}
}
