// SPDX-License-Identifier: Apache-2.0

// Package build turns a path in a source into the Kubernetes objects that a
// Kustomization asks for, straight from the source's tree: nothing is unpacked,
// no file is written.
//
//	tree + path --> kustomization.yaml (found or generated) + spec fields
//	            --> kustomize build --> substitution --> objects
//
// While it builds it records every path that was read, listed or looked for,
// with what was found there: the [Reads]. As long as the same paths of another
// tree answer the same, a build from that tree would give the same objects, and
// need not be made; that is what keeps a commit cheap for everyone it does not
// concern, whatever bases, components and generator files a build reaches.
//
// Builds run in parallel. Kustomize keeps the OpenAPI schema in a global; it is
// parsed once and only read afterwards, except by builds that bring their own
// schema with `openapi:`: these run in a process of their own, or else alone, and
// put the global back.
package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	apikustomize "github.com/fluxcd/pkg/apis/kustomize"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/resource"
	kustypes "sigs.k8s.io/kustomize/api/types"

	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/mask"
	"github.com/sluice-cd/sluice/internal/suggest"
	"github.com/sluice-cd/sluice/internal/tree"
)

// Failures that callers tell apart.
var (
	// ErrPathNotFound says that the source has no directory at the spec's path.
	ErrPathNotFound = errors.New("kustomization path not found")
	// ErrRemote says that a kustomization.yaml refers to something outside the
	// source, and nothing is fetched: a build would depend on more than its commit.
	ErrRemote = errors.New("remote bases and files are not allowed")
	// ErrEncrypted says that an object is encrypted with SOPS.
	ErrEncrypted = errors.New("is SOPS encrypted: set spec.decryption; an object that is meant to be applied " +
		"as it is says so with " + decryptKey + ": " + disabled)
	// ErrStaysEncrypted says that a field of an object is a file that is encrypted with SOPS, and that
	// nobody decrypts there.
	ErrStaysEncrypted = errors.New("is SOPS encrypted, and is decrypted only in Secrets, ConfigMaps and files of generators: " +
		"move it there, or encrypt the object itself; one that is meant to be applied as it is says so with " + decryptKey + ": " + disabled)
	// ErrDecrypt says that something could not be decrypted, which another key, or a key
	// service that answers, can help against.
	ErrDecrypt = errors.New("decryption failed")
)

// errRefused marks the failure of a build that read all it asked for, and had the time
// and the memory for it: the same files, spec and variables fail the same way again.
var errRefused = errors.New("refused")

// refusedError marks an error as errRefused, and leaves its text as it is.
type refusedError struct{ error }

func (e refusedError) Unwrap() error        { return e.error }
func (e refusedError) Is(target error) bool { return target == errRefused }

// movingError marks the error of a build that fetched something which may have changed by the next build, such as a branch.
type movingError struct{ error }

func (e movingError) Unwrap() error { return e.error }

// errUnreadable marks files of the source that could not be read this time.
var errUnreadable = errors.New("reading the source")

// IsRefused reports whether a build fails for what the commit, the spec and the
// variables are, so that trying again cannot help.
func IsRefused(err error) bool {
	var moving movingError
	return !errors.As(err, &moving) && slices.ContainsFunc(sentinels, func(sentinel error) bool { return errors.Is(err, sentinel) })
}

// Spec is what of a Kustomization decides the objects, beside the tree.
type Spec struct {
	// Path is the directory to build, from the tree's root. As upstream, a path
	// that climbs out of the root is taken to start at it.
	Path string
	// TargetNamespace, NamePrefix, NameSuffix, Patches, Images and Components
	// are added to the kustomization.yaml at Path.
	TargetNamespace, NamePrefix, NameSuffix string
	Patches                                 []apikustomize.Patch
	Images                                  []apikustomize.Image
	Components                              []string
	// IgnoreMissingComponents drops components that the tree does not have.
	IgnoreMissingComponents bool
	// BuildMetadata replaces the field of the same name.
	BuildMetadata []string
	// Substitution replaces variables after the build; nil means none.
	Substitution *Substitution
	// Decrypt decrypts what SOPS encrypted; nil refuses it.
	Decrypt Decrypt
	// Masks builds for people without keys: what SOPS encrypted of a Secret is masked, and
	// the rest is left as it is.
	Masks bool
	// FetchFile and FetchRepository fetch what kustomizations refer to outside of the source; nil
	// refuses it. Both or none are set. They answer the same at once when they are asked again: a build
	// that was short of memory starts anew.
	FetchFile       FetchFile
	FetchRepository FetchRepository
	// Fetches is what a build in a process of its own gets in place of these: whether there are any.
	Fetches bool
	// Decrypts is what a build in a process of its own gets in place of Decrypt, a function that
	// cannot be sent to it: whether there is one. That process sends encrypted files back to be
	// decrypted here, where the keys are.
	Decrypts bool
}

// Decrypt returns a file as it was before it was encrypted, in the format that a name says,
// or in its own. What was not encrypted it returns as it is. It quotes no values in errors.
type Decrypt func(data []byte, name string) ([]byte, error)

// Result is what a build came to.
type Result struct {
	// Objects in kustomize's order.
	Objects []*unstructured.Unstructured
	// Reads is what the build depended on in the tree.
	Reads Reads
	// Digest identifies the objects, as algorithm:hex.
	Digest string
	// Warnings are about what is probably a mistake, at most 50.
	Warnings []Warning
	// Moves says that the build has fetched what may be something else the next time, without a word: a
	// branch, a tag, a file.
	Moves bool
	// Decrypted hides values that were decrypted, which nobody may be shown. Whoever decrypts
	// sets it.
	Decrypted *mask.Mask
}

// Build builds the objects of spec from t, in this process and for as long as it
// takes. Controllers use a [Builder].
func Build(t tree.Tree, spec Spec) (*Result, error) {
	return newJob(nil, t, spec, Bounds{}, unboundedMemory{}).run() //nolint:staticcheck // no context: nothing ends it
}

// job is one build.
type job struct {
	overlay  *overlay
	spec     Spec
	dir      string
	file     string // the kustomization file in dir, with the fields of the spec
	content  []byte // of that
	cost     int64  // of kustomize, in bytes of memory
	most     int64  // bytes that the objects come to
	schema   bool   // it brings its own
	warnings []Warning
	// isolated says that it is better built in a process of its own.
	isolated bool
	// served are the trees that were fetched for that process.
	served []tree.Tree
}

func newJob(ctx context.Context, t tree.Tree, spec Spec, bounds Bounds, mem memoryBudget) *job {
	j := &job{overlay: newOverlay(ctx, t, bounds.withDefaults(), mem), spec: spec}
	j.overlay.decrypt, j.overlay.masks = spec.Decrypt, spec.Masks
	j.overlay.fetchFile, j.overlay.fetchRepository = spec.FetchFile, spec.FetchRepository
	return j
}

func (j *job) run() (*Result, error) {
	if err := j.prepare(); err != nil {
		return nil, err
	}
	return j.finish()
}

// prepare looks at everything that kustomize would read.
func (j *job) prepare() (err error) {
	defer j.explain(&err)
	defer j.recovered(&err)
	if err := j.spec.Substitution.check(); err != nil {
		return err
	}
	dir, file, err := j.overlay.CleanedAbs(path.Join(mount, path.Clean("/"+j.spec.Path)))
	if errors.Is(err, fs.ErrNotExist) || file != "" {
		return j.pathNotFound(file)
	}
	if err != nil {
		return err
	}
	j.dir = dir.String()
	if j.file, j.content, err = generate(j.overlay, j.dir, j.spec); err != nil {
		return err
	}
	j.overlay.write(j.file, j.content)
	m, err := measured(j.overlay, j.dir)
	if err != nil {
		return err
	}
	j.cost, j.most, j.schema = m.total.cost(), m.total.most(), m.schema
	j.isolated = m.isolate || j.cost > largeCost
	return nil
}

// pathNotFound says what is there in place of the spec's path.
func (j *job) pathNotFound(file string) error {
	if file != "" {
		return fmt.Errorf("%w: %q is a file; spec.path names the directory that it is in", ErrPathNotFound, j.spec.Path)
	}
	clean := path.Clean("/" + j.spec.Path)
	if names, err := j.overlay.ReadDir(path.Join(mount, path.Dir(clean))); err == nil {
		if near := suggest.Nearest(path.Base(clean), names); near != "" {
			return fmt.Errorf("%w: %q, did you mean .%s? correct spec.path", ErrPathNotFound, j.spec.Path, path.Join(path.Dir(clean), near))
		}
	}
	return fmt.Errorf("%w: %q; correct spec.path, which starts at the root of the source, or push the directory", ErrPathNotFound, j.spec.Path)
}

// largeCost is from where on a build is isolated for its mere size.
const largeCost = 64 << 20

// explain gives an error the words that people may read, and says whether trying again
// can help.
func (j *job) explain(err *error) {
	if *err == nil {
		return
	}
	why := j.overlay.reason(*err)
	*err = j.spec.Substitution.Mask().Error(j.overlay.readable(why))
	switch {
	case j.overlay.moves:
		*err = movingError{*err}
	case j.overlay.ended() == nil && !slices.ContainsFunc(passing, func(kind error) bool { return errors.Is(why, kind) }):
		*err = refusedError{*err}
	}
}

// passing are the failures that may be over the next time.
var passing = []error{ErrDecrypt, ErrFetch, errUnreadable, budget.ErrExhausted}

// finish has kustomize build what was prepared.
func (j *job) finish() (result *Result, err error) {
	defer j.explain(&err)
	resources, err := j.resources()
	if err != nil {
		return nil, fmt.Errorf("kustomize build failed: %w", j.plain(j.attribute(err)))
	}
	defer j.recovered(&err)
	if result, err = j.convert(resources); err != nil {
		return nil, err
	}
	j.warnOfTargets(result.Objects)
	result.Reads, result.Warnings, result.Moves = j.overlay.reads, append(j.overlay.warnings, j.warnings...), j.overlay.moves
	return result, nil
}

// resources runs kustomize, beside others unless it changes the schema of all.
func (j *job) resources() (resources resmap.ResMap, err error) {
	build := func() { resources, err = j.kustomize() }
	if j.schema {
		schema.withChangedSchema(build)
	} else {
		schema.withBuiltinSchema(build)
	}
	return resources, err
}

// kustomize runs the build with upstream's options: files from anywhere in the
// tree, built-in plugins only.
func (j *job) kustomize() (resources resmap.ResMap, err error) {
	defer j.recovered(&err)
	return krusty.MakeKustomizer(&krusty.Options{
		LoadRestrictions: kustypes.LoadRestrictionsNone,
		PluginConfig:     kustypes.DisabledPluginConfig(),
	}).Run(j.overlay, j.dir)
}

// recovered makes an error of a panic: kustomize has some for malformed objects.
func (j *job) recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("the build panicked: %s", j.quote(fmt.Sprint(r)))
	}
}

// quote is the beginning of what is said about values that may be secret. Cutting it
// comes last: half a secret is not recognised.
func (j *job) quote(text string) string {
	return fmt.Sprintf("%.500s", j.spec.Substitution.Mask().Text(text))
}

// convert makes API objects of kustomize's resources.
func (j *job) convert(resources resmap.ResMap) (*Result, error) {
	if limit := j.overlay.bounds.Objects; int64(resources.Size()) > limit {
		return nil, tooLarge(limit, "objects", split)
	}
	result := &Result{Objects: make([]*unstructured.Unstructured, 0, resources.Size())}
	digest, size := sha256.New(), int64(0)
	for _, res := range resources.Resources() {
		if err := j.overlay.ended(); err != nil {
			return nil, err
		}
		if res.GetName() == "" || res.GetKind() == "" || res.GetApiVersion() == "" {
			return nil, j.incomplete(res.GetApiVersion(), res.GetKind(), res.GetName())
		}
		data, err := j.data(res)
		if size += int64(len(data)); size > j.most {
			return nil, tooLarge(j.most, "bytes in objects, of which there were less in the source",
				"look for variables and replacements that add much")
		}
		var obj *unstructured.Unstructured
		if err == nil {
			obj, err = j.object(data)
		}
		if err != nil {
			return nil, j.about(res, err)
		}
		if obj.IsList() {
			return nil, fmt.Errorf("%s/%s: a list cannot be named", res.GetKind(), res.GetName())
		}
		j.overlay.nameOrigins(obj)
		j.warnOfFields(obj)
		result.Objects = append(result.Objects, obj)
		digest.Write(data)
	}
	result.Digest = "sha256:" + hex.EncodeToString(digest.Sum(nil))
	return result, nil
}

// about says which object an error is about, and its file. Those of SOPS name it themselves.
func (j *job) about(res *resource.Resource, err error) error {
	where := ""
	if !errors.Is(err, ErrEncrypted) && !errors.Is(err, ErrStaysEncrypted) && !errors.Is(err, ErrDecrypt) {
		where = writtenIn(j.overlay.filesOf(res.GetKind(), res.GetName()))
	}
	return fmt.Errorf("%s/%s%s: %w", res.GetKind(), res.GetName(), where, err)
}

// data is an object in JSON, with its variables replaced.
func (j *job) data(res *resource.Resource) ([]byte, error) {
	data, err := res.MarshalJSON()
	if err == nil {
		data, err = j.overlay.decryptObject(data)
	}
	if sub := j.spec.Substitution; err == nil && sub.appliesTo(res) {
		return sub.replace(data, j.overlay.bounds)
	}
	return data, err
}

func (j *job) object(data []byte) (*unstructured.Unstructured, error) {
	obj := &unstructured.Unstructured{}
	if err := obj.UnmarshalJSON(data); err != nil {
		return nil, err
	}
	return obj, j.overlay.unsealed(obj)
}

// readable takes the overlay's mount points out of an error's text, so that
// paths read as they are in the source.
func (r *remotes) readable(err error) error {
	if err == nil {
		return nil
	}
	was := err.Error()
	text := r.named(strings.ReplaceAll(strings.ReplaceAll(was, mount+"/", ""), mount, "."))
	if text == was {
		return err
	}
	return readableError{err, text}
}

// readableError is an error in another text.
type readableError struct {
	error
	text string
}

func (e readableError) Error() string { return e.text }

func (e readableError) Unwrap() error { return e.error }
