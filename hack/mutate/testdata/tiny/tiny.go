// Package tiny has gaps in its tests that the test of mutate knows.
package tiny

import (
	"errors"
	"fmt"
	"sync"
)

// Store counts.
type Store struct {
	mu    sync.Mutex
	names []string
	total int
}

// Adult is tested at its boundary.
func Adult(age int) bool { return age >= 18 }

// Child is not tested at its boundary.
func Child(age int) bool { return age < 18 }

// Both is tested with all of its inputs.
func Both(a, b bool) bool { return a && b }

// Either is tested where both or none are true.
func Either(a, b bool) bool { return a || b }

// Add is tested for what it returns, and not for total.
func (s *Store) Add(name string) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if name == "" {
		return 0, errors.New("name is empty")
	}
	s.names = append(s.names, name)
	s.total++
	return len(s.names) - 1, nil
}

// Reset is called, but nobody looks.
func (s *Store) Reset() {
	s.names = nil
	s.total = 0
}

// Untested is reached by nothing.
func Untested(n int) string { return fmt.Sprint(n) }

// Ordered depends on the order in which its result and its call are evaluated.
func Ordered() (int, error) {
	n := 1
	return n, set(&n)
}

func set(n *int) error {
	*n = 2
	return nil
}

// Forever does not end without its last statement.
func Forever(n int) {
	for n > 0 {
		n--
	}
}

// kind is a bool of its own, and is compared on lines of its own.
type kind bool

// Long is logic over several lines.
func Long(a, b int, k kind) bool {
	return a > 1 && // a comment
		b > 1 ||
		bool(k)
}

// As has a type where a switch has conditions.
func As(v any) string {
	switch v.(type) {
	case bool:
		return "bool"
	}
	return ""
}
