// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"context"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/internal/pattern"
	"github.com/sluice-cd/sluice/policy"
)

// ranking is what a match of all tags came to.
type ranking struct {
	ranked   []policy.Ranked
	decision policy.Decision
}

// rankingKey names a ranking by the policy and its tags, as they were, and by how many
// tags it has.
type rankingKey struct {
	revision string
	top      int
}

// rank returns what ranks the tags of a run. Where that may take long, because the
// pattern of the filter is large and the tags are many, it goes on in the background,
// for one policy of each namespace at a time.
func (m *caches) rank(in *inputs) ranker {
	return func(ctx context.Context, top int) ([]policy.Ranked, policy.Decision, error) {
		if in.work <= pattern.Light {
			ranked, decision := in.compiled.Evaluate(in.tags.All(), top)
			return ranked, decision, nil
		}
		key := rankingKey{in.revision() + " " + in.compiled.Until().String(), top} // pins and rejections end
		if known, ok := m.rankings.Get(key); ok {
			return known.ranked, known.decision, nil
		}
		request := background.Request[types.NamespacedName]{
			Key: in.key(), Namespace: in.policy.Namespace, Input: key.revision + " " + strconv.Itoa(top), Now: in.now,
		}
		found, err := m.matches.Run(ctx, request, func(context.Context) (ranking, error) {
			ranked, decision := in.compiled.Evaluate(in.tags.All(), top)
			for i := range ranked { // not to keep all tags for the sake of some
				ranked[i].Tag, ranked[i].Text = strings.Clone(ranked[i].Tag), strings.Clone(ranked[i].Text)
			}
			return ranking{ranked, decision}, nil
		})
		if err != nil {
			return nil, policy.Decision{}, err
		}
		m.rankings.Put(key, found)
		return found.ranked, found.decision, nil
	}
}
