package imagepolicy

import (
	"context"

	"github.com/sluice-cd/sluice/internal/errand"
)

// ask makes one look-up of the run as an errand, so that the policies of a registry
// that hangs do not hold up those of all others. The run that follows a late one asks
// for the same, and finds it done.
func ask[T any](ctx context.Context, s *search, what string, call func(context.Context) (T, error)) (T, error) {
	var none T
	if err := s.spend(); err != nil {
		return none, err
	}
	order := errand.Order{
		Object: s.key(), Host: s.from.target.Repository.RegistryStr(), What: s.revision() + " " + what, At: s.now,
	}
	got, err := s.memory().errands.Run(ctx, order, func(ctx context.Context) (any, error) { return call(ctx) })
	if err != nil {
		return none, err
	}
	found, _ := got.(T)
	return found, nil
}
