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

// rememberedSurveys bounds the surveys that are kept; each has maxReach tags at most.
const rememberedSurveys = 64

// survey is what a look at all tags came to.
type survey struct {
	ranked   []policy.Ranked
	decision policy.Decision
}

// surveyKey names a survey by the policy and its tags, as they were, and its reach.
type surveyKey struct {
	revision string
	reach    int
}

// survey looks at all tags. Where that may take long, because the pattern of the
// filter is large and the tags are many, it goes on outside of the workers, for one
// policy of each namespace at a time.
func (s *search) survey(ctx context.Context, reach int) ([]policy.Ranked, policy.Decision, error) {
	if s.work <= pattern.Light {
		ranked, decision := s.compiled.Survey(s.tags.All(), reach)
		return ranked, decision, nil
	}
	key := surveyKey{s.revision() + " " + s.compiled.Until().String(), reach} // pins and rejections end
	if known, ok := s.memory().surveys.get(key); ok {
		return known.ranked, known.decision, nil
	}
	request := background.Request[types.NamespacedName]{
		Key: s.key(), Namespace: s.policy.Namespace, Input: key.revision + " " + strconv.Itoa(reach), At: s.now,
	}
	found, err := s.memory().surveyors.Run(ctx, request, func(context.Context) (survey, error) {
		ranked, decision := s.compiled.Survey(s.tags.All(), reach)
		for i := range ranked { // not to keep all tags for the sake of some
			ranked[i].Tag, ranked[i].Text = strings.Clone(ranked[i].Tag), strings.Clone(ranked[i].Text)
		}
		return survey{ranked, decision}, nil
	})
	if err != nil {
		return nil, policy.Decision{}, err
	}
	s.memory().surveys.put(key, found)
	return found.ranked, found.decision, nil
}
