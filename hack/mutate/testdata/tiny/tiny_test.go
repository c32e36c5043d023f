package tiny

import (
	"os"
	"testing"
)

func TestAges(t *testing.T) {
	if Adult(17) || !Adult(18) || Child(30) || !Child(3) {
		t.Error("wrong")
	}
}

func TestLogic(t *testing.T) {
	for _, a := range []bool{false, true} {
		for _, b := range []bool{false, true} {
			if Both(a, b) != (a && b) {
				t.Error("wrong")
			}
		}
	}
	if Either(false, false) || !Either(true, true) {
		t.Error("wrong")
	}
}

func TestAdd(t *testing.T) {
	var s Store
	if _, err := s.Add(""); err == nil {
		t.Error("no error")
	}
	for want, name := range []string{"a", "b", "c"} {
		if i, err := s.Add(name); i != want || err != nil {
			t.Error(i, err)
		}
	}
	s.Reset()
}

func TestOrdered(t *testing.T) {
	if n, err := Ordered(); n == 0 || err != nil {
		t.Error(n, err)
	}
}

func TestForever(t *testing.T) { Forever(3) }

func TestLong(t *testing.T) {
	for _, tc := range []struct {
		a, b int
		k    kind
		want bool
	}{{1, 1, false, false}, {2, 1, false, false}, {1, 2, false, false}, {2, 2, false, true}, {1, 1, true, true}, {2, 1, true, true}} {
		if Long(tc.a, tc.b, tc.k) != tc.want {
			t.Error(tc)
		}
	}
}

func TestAs(t *testing.T) {
	if As(true) != "bool" || As(1) != "" {
		t.Error("wrong")
	}
}

// TestThatFails says nothing about mutants: it is left out, and the progress says so.
func TestThatFails(t *testing.T) {
	if os.Getenv("MUTATE_ACTIVE") == "" {
		t.Error("fails without a mutant")
	}
}
