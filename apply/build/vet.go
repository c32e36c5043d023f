package build

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"
)

// errOwnSchema makes a parallel build start over alone.
var errOwnSchema = errors.New("the kustomization brings its own OpenAPI schema")

// references are the fields of a kustomization.yaml through which kustomize
// loads files, clones repositories and changes its global schema.
type references struct {
	Resources             []string          `json:"resources"`
	Bases                 []string          `json:"bases"`
	Components            []string          `json:"components"`
	Crds                  []string          `json:"crds"`
	Configurations        []string          `json:"configurations"`
	Generators            []string          `json:"generators"`
	Transformers          []string          `json:"transformers"`
	Validators            []string          `json:"validators"`
	PatchesStrategicMerge []string          `json:"patchesStrategicMerge"`
	Patches               []pathReference   `json:"patches"`
	PatchesJSON6902       []pathReference   `json:"patchesJson6902"`
	Replacements          []pathReference   `json:"replacements"`
	ConfigMapGenerator    []dataReferences  `json:"configMapGenerator"`
	SecretGenerator       []dataReferences  `json:"secretGenerator"`
	OpenAPI               map[string]string `json:"openapi"`
}

type pathReference struct {
	Path string `json:"path"`
}

type dataReferences struct {
	Files []string `json:"files"`
	Envs  []string `json:"envs"`
	Env   string   `json:"env"`
}

// vet refuses a kustomization.yaml that would make kustomize open a connection,
// and one that needs a build of its own. Whatever else may be wrong with it,
// kustomize says better.
func (o *overlay) vet(data []byte) error {
	var refs references
	if err := yaml.Unmarshal(data, &refs); err != nil {
		return nil //nolint:nilerr // kustomize reads the file next, strictly
	}
	for _, ref := range refs.all() {
		if isRemote(ref) {
			return fmt.Errorf("%w: %s", ErrRemote, ref)
		}
	}
	if len(refs.OpenAPI) > 0 && !o.ownSchema {
		return errOwnSchema
	}
	return nil
}

// all lists everything that kustomize would load.
func (r references) all() []string {
	var all []string
	for _, list := range [][]string{
		r.Resources, r.Bases, r.Components, r.Crds, r.Configurations,
		r.Generators, r.Transformers, r.Validators, r.PatchesStrategicMerge,
	} {
		all = append(all, list...)
	}
	for _, list := range [][]pathReference{r.Patches, r.PatchesJSON6902, r.Replacements} {
		for _, ref := range list {
			all = append(all, ref.Path)
		}
	}
	for _, list := range [][]dataReferences{r.ConfigMapGenerator, r.SecretGenerator} {
		for _, ref := range list {
			all = append(append(all, ref.Envs...), ref.Env)
			for _, file := range ref.Files { // "key=path" or "path"
				all = append(all, file, file[strings.Index(file, "=")+1:])
			}
		}
	}
	return append(all, r.OpenAPI["path"])
}

// remote matches what kustomize takes for a URL or for a Git remote, in the
// order of its own parser: an optional "git::", then a scheme, a user at a host,
// or github.com by name.
var remote = regexp.MustCompile(`^(?i:(git::)?((https?|ssh|file|git)://|gh:|github\.com[/:]|[a-z][a-z0-9-]*@))`)

// isRemote reports whether kustomize would fetch ref. Inline YAML is not a
// reference at all.
func isRemote(ref string) bool {
	return !strings.Contains(ref, "\n") && remote.MatchString(ref)
}
