// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"context"
	"errors"
	"strings"
	"testing"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/wake/waketest"
)

// An expression that is slow for many tags must not hold a worker, and one that is
// slower is refused.
func TestSlowExclusionsAreAppliedOutsideOfTheWorkers(t *testing.T) {
	l := newLossy(t, NewStore(), numbered(0, 2000)...)
	done := waketest.Objects(t, l.scanner.Done())
	l.to = target(t, imagev1.ImageRepositorySpec{Image: l.to.Repository.String(), ExclusionList: []string{`^(?:[0-9]+|x|\.){1,300}[05]$`}})
	request := Request{Key: object("app"), Target: l.to}
	if _, err := l.scanner.Scan(context.Background(), request); !errors.Is(err, ErrPending) {
		t.Fatalf("got %v", err)
	}
	waketest.Next(t, done)
	got, err := l.scanner.Scan(context.Background(), request)
	if err != nil || got.Len() != 1600 {
		t.Fatalf("got %+v, %v", got, err)
	}
	got, err = l.scanner.Scan(context.Background(), request)
	if err != nil || got.Len() != 1600 {
		t.Errorf("what is known is found out anew: %v", err)
	}
}

func TestExclusionsThatAreTooSlowAreRefused(t *testing.T) {
	spec := imagev1.ImageRepositorySpec{Image: "app", ExclusionList: []string{"^(" + strings.Repeat("(a|b|c|d|e|f|.){0,100}", 60) + ")x$"}}
	if _, err := NewTarget(repository(spec)); !errors.Is(err, ErrInvalidExclusion) {
		t.Errorf("by itself: %v", err)
	}
	l := newLossy(t, NewStore(), numbered(0, 200_000)...)
	l.to = target(t, imagev1.ImageRepositorySpec{Image: l.to.Repository.String(), ExclusionList: []string{`^(?:[0-9]+|x|\.){1,300}[05]$`}})
	if _, err := l.scanner.Scan(context.Background(), Request{Key: object("app"), Target: l.to}); !errors.Is(err, ErrInvalidExclusion) {
		t.Errorf("for so many tags: %v", err)
	}
}
