package scan

import (
	"fmt"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/pattern"
)

// Target is what an ImageRepository asks to list, checked and compiled.
type Target struct {
	// Repository is where the tags are; its String is the canonical image name.
	Repository name.Repository
	// Timeout bounds one call.
	Timeout time.Duration

	maxTags   int // 0: the client's
	exclude   []func(string) bool
	size      int // of the expressions, see package pattern
	canonical string
	source    string
}

// maxDefaultTimeout bounds the timeout of an ImageRepository that sets none.
// Flux waits for a whole interval, so that a few registries that hang stop all
// scanning for hours; who needs longer can say so in spec.timeout.
const maxDefaultTimeout = time.Minute

// maxTimeout bounds that of every ImageRepository: a scan has one of the slots of a
// namespace for as long.
const maxTimeout = 10 * time.Minute

// NewTarget reads the image, the exclusion list and the timeout of repo. The
// errors are [ErrInvalidReference] and [ErrInvalidExclusion].
func NewTarget(repo *imagev1.ImageRepository) (Target, error) {
	repository, err := parseRepository(&repo.Spec)
	if err != nil {
		return Target{}, err
	}
	t := Target{Repository: repository, Timeout: repo.GetTimeout(), maxTags: repo.Spec.MaxTags, canonical: repository.String()}
	t.Timeout = min(t.Timeout, maxTimeout)
	if repo.Spec.Timeout == nil {
		t.Timeout = min(t.Timeout, maxDefaultTimeout)
	}
	exclusions := repo.GetExclusionList()
	for _, expression := range exclusions {
		if err := t.leaveOut(expression); err != nil {
			return Target{}, fmt.Errorf("%w: spec.exclusionList %.200q: %w", ErrInvalidExclusion, expression, err)
		}
	}
	t.source = strings.Join(append([]string{repository.Scheme(), t.canonical}, exclusions...), "\n")
	return t, nil
}

// parseRepository reads spec.image, which names a repository and nothing else.
func parseRepository(spec *imagev1.ImageRepositorySpec) (name.Repository, error) {
	image := spec.Image
	if scheme, _, ok := strings.Cut(image, "://"); ok {
		return name.Repository{}, fmt.Errorf("%w: spec.image %q should not include a URL scheme; remove '%s://'", ErrInvalidReference, image, scheme)
	}
	path := image[strings.LastIndex(image, "/")+1:]
	if at := strings.IndexAny(path, ":@"); at >= 0 {
		return name.Repository{}, fmt.Errorf("%w: spec.image %q should not include a tag or a digest; remove '%s'", ErrInvalidReference, image, path[at:])
	}
	var opts []name.Option
	if spec.Insecure {
		opts = append(opts, name.Insecure)
	}
	repository, err := name.NewRepository(image, opts...)
	if err != nil {
		return name.Repository{}, fmt.Errorf("%w: spec.image: %w", ErrInvalidReference, err)
	}
	return repository, nil
}

// leaveOut adds an exclusion. Nearly every object has the default one: a look at the
// end of a tag costs a hundredth of the expression.
func (t *Target) leaveOut(expression string) error {
	if expression == `^.*\.sig$` {
		t.exclude = append(t.exclude, func(tag string) bool { return strings.HasSuffix(tag, ".sig") })
		return nil
	}
	compiled, err := pattern.Compile(expression)
	if err != nil {
		return err
	}
	t.exclude = append(t.exclude, compiled.MatchString)
	t.size += compiled.Size
	return nil
}

// Exclusions compiles an exclusion list by itself. What it returns says which entry
// leaves a tag out, or nothing.
func Exclusions(list []string) (func(tag string) string, error) {
	var t Target
	for _, expression := range list {
		if err := t.leaveOut(expression); err != nil {
			return nil, fmt.Errorf("%w: spec.exclusionList %.200q: %w", ErrInvalidExclusion, expression, err)
		}
	}
	return func(tag string) string {
		for i, matches := range t.exclude {
			if matches(tag) {
				return list[i]
			}
		}
		return ""
	}, nil
}

// excludes reports whether tag is treated as if the registry did not have it.
func (t Target) excludes(tag string) bool {
	for _, matches := range t.exclude {
		if matches(tag) {
			return true
		}
	}
	return false
}
