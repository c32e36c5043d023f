package imagepolicy

import (
	"context"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-cd/sluice/internal/background"
)

// ask makes one look-up of the run in the background, so that the policies of a registry
// that hangs do not hold up those of all others. The run that follows a late one asks
// for the same, and finds it done.
func ask[T any](ctx context.Context, s *search, what string, call func(context.Context) (T, error)) (T, error) {
	var none T
	if err := s.spend(); err != nil {
		return none, err
	}
	request := background.Request[types.NamespacedName]{
		Key: s.key(), Namespace: s.policy.Namespace, Host: s.from.target.Repository.RegistryStr(),
		Input: s.revision() + " " + what, At: s.now,
	}
	got, err := s.memory().lookUps.Run(ctx, request, func(ctx context.Context) (any, error) { return call(ctx) })
	if err != nil {
		return none, err
	}
	found, _ := got.(T)
	return found, nil
}
