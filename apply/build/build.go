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
// schema with `openapi:`: these run alone and put the global back.
package build

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"strings"

	apikustomize "github.com/fluxcd/pkg/apis/kustomize"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/resource"
	kustypes "sigs.k8s.io/kustomize/api/types"

	"github.com/sluice-cd/sluice/internal/tree"
)

// Failures that callers tell apart.
var (
	// ErrPathNotFound says that the source has no directory at the spec's path.
	ErrPathNotFound = errors.New("kustomization path not found")
	// ErrRemote says that a kustomization.yaml refers to something outside the
	// source, which would make a build depend on more than its commit.
	ErrRemote = errors.New("remote bases and files are not allowed")
	// ErrEncrypted says that an object is encrypted with SOPS.
	ErrEncrypted = errors.New("is SOPS encrypted, and decryption is not supported")
)

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
}

// Result is what a build came to.
type Result struct {
	// Objects in kustomize's order.
	Objects []*unstructured.Unstructured
	// Reads is what the build depended on in the tree.
	Reads Reads
	// Digest identifies the objects, as algorithm:hex.
	Digest string
}

// Build builds the objects of spec from t.
func Build(t tree.Tree, spec Spec) (*Result, error) {
	overlay := newOverlay(t)
	dir := path.Join(mount, path.Clean("/"+spec.Path))
	if !overlay.IsDir(dir) {
		return nil, fmt.Errorf("%w: %q", ErrPathNotFound, spec.Path)
	}
	name, content, err := generate(overlay, dir, spec)
	if err != nil {
		return nil, readable(err)
	}
	overlay.put(name, content)
	resources, err := run(overlay, dir)
	if err != nil {
		return nil, fmt.Errorf("kustomize build failed: %w", readable(err))
	}
	result, err := convert(resources, spec.Substitution)
	if err != nil {
		return nil, err
	}
	result.Reads = overlay.reads
	return result, nil
}

// run builds in parallel with others, or alone if a kustomization.yaml on the
// way turns out to bring its own OpenAPI schema.
func run(overlay *overlay, dir string) (resmap.ResMap, error) {
	var (
		resources resmap.ResMap
		err       error
	)
	schema.shared(func() { resources, err = kustomize(overlay, dir) })
	if overlay.refused == nil {
		return resources, err
	}
	if !errors.Is(overlay.refused, errOwnSchema) {
		return nil, overlay.refused
	}
	overlay.refused, overlay.ownSchema = nil, true
	schema.alone(func() { resources, err = kustomize(overlay, dir) })
	if overlay.refused != nil {
		return nil, overlay.refused
	}
	return resources, err
}

// kustomize runs the build with upstream's options: files from anywhere in the
// tree, built-in plugins only.
func kustomize(overlay *overlay, dir string) (resources resmap.ResMap, err error) {
	defer func() {
		if r := recover(); r != nil { // kustomize panics on some malformed objects
			err = fmt.Errorf("kustomize panicked: %v", r)
		}
	}()
	return krusty.MakeKustomizer(&krusty.Options{
		LoadRestrictions: kustypes.LoadRestrictionsNone,
		PluginConfig:     kustypes.DisabledPluginConfig(),
	}).Run(overlay, dir)
}

// convert makes API objects of kustomize's resources.
func convert(resources resmap.ResMap, sub *Substitution) (*Result, error) {
	result := &Result{Objects: make([]*unstructured.Unstructured, 0, resources.Size())}
	digest := sha256.New()
	for _, res := range resources.Resources() {
		if res.GetName() == "" || res.GetKind() == "" || res.GetApiVersion() == "" {
			return nil, fmt.Errorf("decoding %s: an object needs apiVersion, kind and name", res.CurId())
		}
		obj, data, err := object(res, sub)
		if err != nil {
			return nil, fmt.Errorf("%s/%s: %w", res.GetKind(), res.GetName(), err)
		}
		if obj.IsList() {
			return nil, fmt.Errorf("%s/%s: a list cannot be named", res.GetKind(), res.GetName())
		}
		result.Objects = append(result.Objects, obj)
		digest.Write(data)
	}
	result.Digest = "sha256:" + hex.EncodeToString(digest.Sum(nil))
	return result, nil
}

func object(res *resource.Resource, sub *Substitution) (obj *unstructured.Unstructured, data []byte, err error) {
	if data, err = res.MarshalJSON(); err != nil {
		return nil, nil, err
	}
	if sub.appliesTo(res) {
		if data, err = sub.replace(data); err != nil {
			return nil, nil, err
		}
	}
	obj = &unstructured.Unstructured{}
	if err := obj.UnmarshalJSON(data); err != nil {
		return nil, nil, sub.mask(err)
	}
	if _, encrypted := obj.Object["sops"]; encrypted && obj.GetKind() == "Secret" {
		return nil, nil, ErrEncrypted
	}
	return obj, data, nil
}

// readable takes the overlay's mount point out of an error's text, so that
// paths read as they are in the source.
func readable(err error) error {
	if !strings.Contains(err.Error(), mount) {
		return err
	}
	return readableError{err}
}

type readableError struct{ error }

func (e readableError) Error() string {
	return strings.ReplaceAll(strings.ReplaceAll(e.error.Error(), mount+"/", ""), mount, ".")
}

func (e readableError) Unwrap() error { return e.error }
