// SPDX-License-Identifier: Apache-2.0

package bucket

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/fluxcd/pkg/sourceignore"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"golang.org/x/sync/errgroup"

	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/internal/bucket"
	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/tree"
	"github.com/sluice-cd/sluice/source"
)

// What a bucket may make of itself.
const (
	// maxListed bounds the objects of a list, ignored ones counted too, and maxObjects those
	// of an artifact.
	maxListed  = 500_000
	maxObjects = 50_000
	// maxObject bounds an object, and maxBytes all of an artifact.
	maxObject = 100 << 20
	maxBytes  = 256 << 20
	// maxKey is the longest key that clouds accept, in bytes.
	maxKey = 1024
	// listedMemory is what an object of a list takes.
	listedMemory = 512
	// downloads is how many objects are read at once.
	downloads = 16
	// lists is how often a bucket that keeps changing is listed in one look.
	lists = 3
)

// objectListing is what a bucket has, without what is ignored.
type objectListing struct {
	objects map[string]bucket.Object
	bytes   int64
}

// revisionOf is the digest over keys and etags, as Flux has it.
func revisionOf(etags map[string]string) string {
	h := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(etags)) {
		_, _ = fmt.Fprintf(h, "%s %s\n", key, etags[key])
	}
	return fmt.Sprintf("sha256:%x", h.Sum(nil))
}

func (l objectListing) etags() map[string]string {
	etags := make(map[string]string, len(l.objects))
	for key, object := range l.objects {
		etags[key] = object.ETag
	}
	return etags
}

// publish publishes the bucket's content if it differs from status.artifact.
func (r *Reconciler) publish(ctx context.Context, obj *sourcev1.Bucket, cached *openedBucket) ([]reconciler.Event, error) {
	for look := 1; ; look++ {
		events, err := r.publishOnce(ctx, obj, cached)
		if !errors.Is(err, bucket.ErrChanged) || look == lists {
			return events, err
		}
	}
}

func (r *Reconciler) publishOnce(ctx context.Context, obj *sourcev1.Bucket, cached *openedBucket) (events []reconciler.Event, err error) {
	err = r.Publisher.Memory.Do(ctx, obj.Namespace, source.PublishMemory, func(memory *budget.Grant) error {
		events, err = r.publishWithin(ctx, obj, cached, memory)
		return err
	})
	return events, err
}

func (r *Reconciler) publishWithin(
	ctx context.Context, obj *sourcev1.Bucket, cached *openedBucket, memory *budget.Grant,
) ([]reconciler.Event, error) {
	listed, err := r.list(ctx, obj, cached, memory)
	if err != nil {
		return nil, err
	}
	etags := listed.etags()
	revision := revisionOf(etags)
	note, err := json.Marshal(etags)
	if err != nil {
		return nil, fmt.Errorf("noting etags: %w", err)
	}
	snapshot := source.Snapshot{
		Key: keyOf(obj), Name: strings.TrimPrefix(revision, "sha256:"), Revision: revision, Ignore: obj.Spec.Ignore, Note: note,
		Open: func(memory *budget.Grant) (source.Files, error) { return r.files(ctx, obj, cached, listed, memory) },
	}
	recorded := source.Recorded{Artifact: obj.Status.Artifact, Ignore: obj.Status.ObservedIgnore}
	same := recorded.IsOf(snapshot)
	if same && r.Publisher.IsCurrent(snapshot, recorded) {
		recorded.Artifact.URL = r.Publisher.Store.URL(recorded.Artifact.Path)
		obj.Status.URL = recorded.Artifact.URL
		return nil, nil
	}
	damage := r.Publisher.Damage(snapshot, recorded)
	artifact, err := r.Publisher.PublishWithin(ctx, snapshot, recorded, memory)
	if err != nil {
		return nil, source.StorageFailed(err)
	}
	obj.Status.Artifact, obj.Status.URL, obj.Status.ObservedIgnore = artifact, artifact.URL, obj.Spec.Ignore
	stored := fmt.Sprintf("stored artifact with %d fetched files from '%s' bucket", len(listed.objects), obj.Spec.BucketName)
	return source.NewArtifact(recorded, same, damage, artifact, stored), nil
}

// list asks the bucket what it has.
func (r *Reconciler) list(ctx context.Context, obj *sourcev1.Bucket, cached *openedBucket, memory *budget.Grant) (objectListing, error) {
	all := map[string]bucket.Object{}
	err := cached.bucket.List(ctx, obj.Spec.Prefix, func(o bucket.Object) error {
		switch {
		case len(all) >= maxListed:
			return fmt.Errorf("bucket '%s' has more than %d objects: set spec.prefix", obj.Spec.BucketName, maxListed)
		case len(o.Key) > maxKey || len(o.ETag) > maxKey:
			return fmt.Errorf("bucket '%s' has a key, or an etag, of more than %d bytes", obj.Spec.BucketName, maxKey)
		case strings.HasSuffix(o.Key, "/"):
			return nil // stands for a directory
		}
		if err := memory.Grow(listedMemory); err != nil {
			return err
		}
		all[o.Key] = o
		return nil
	})
	if err != nil {
		return objectListing{}, failed(err)
	}
	if len(all) == 0 && obj.Spec.Prefix != "" { // an artifact of nothing has Kustomizations prune all they have
		return objectListing{}, failed(fmt.Errorf("spec.prefix: no key of bucket '%s' begins with '%s'; the artifact stays as it was: "+
			"correct the prefix, or delete what was made of it", obj.Spec.BucketName, obj.Spec.Prefix))
	}
	rules, err := r.rules(ctx, obj, cached, all)
	if err != nil {
		return objectListing{}, err
	}
	ignored, err := rules.Ignored(ctx, maps.Keys(all))
	if err != nil {
		return objectListing{}, source.StorageFailed(fmt.Errorf("leaving out objects of bucket '%s': %w", obj.Spec.BucketName, err))
	}
	listed := objectListing{objects: all}
	for _, key := range append(ignored, sourceignore.IgnoreFile) {
		delete(all, key)
	}
	for _, o := range all {
		listed.bytes += max(0, o.Size)
	}
	return listed, listed.check(obj)
}

// check refuses what no artifact can have.
func (l objectListing) check(obj *sourcev1.Bucket) error {
	if n := len(l.objects); n > maxObjects {
		return failed(fmt.Errorf("bucket '%s' has %d objects, of which %d are allowed: leave some out by spec.prefix, "+
			"spec.ignore or a .sourceignore", obj.Spec.BucketName, n, maxObjects))
	}
	if l.bytes > maxBytes {
		return failed(fmt.Errorf("the objects of bucket '%s' have %d bytes, of which %d are allowed: leave some out by spec.prefix, "+
			"spec.ignore or a .sourceignore", obj.Spec.BucketName, l.bytes, maxBytes))
	}
	for _, key := range slices.Sorted(maps.Keys(l.objects)) {
		parts, err := tree.Split(key)
		switch o := l.objects[key]; {
		case err != nil || path.Join(parts...) != key:
			return failed(fmt.Errorf("object '%s' has a key that no file can have as its path: leave it out by spec.ignore or a .sourceignore", key))
		case o.Size < 0 || o.Size > maxObject:
			return failed(fmt.Errorf("object '%s' has %d bytes, of which %d are allowed: leave it out by spec.ignore or a .sourceignore",
				key, o.Size, maxObject))
		}
	}
	return nil
}

// failed is an error of the bucket.
func failed(err error) error { return source.FetchFailed(sourcev1.BucketOperationFailedReason, err) }

// ignoreFile is the .sourceignore of a bucket as it was read last.
type ignoreFile struct {
	etag    string
	content []byte
}

// rules are those of the .sourceignore at the top of the bucket, and of the spec. The file
// is read when its etag has changed.
func (r *Reconciler) rules(
	ctx context.Context, obj *sourcev1.Bucket, cached *openedBucket, all map[string]bucket.Object,
) (source.Ignore, error) {
	file, there := all[sourceignore.IgnoreFile]
	if !there && obj.Spec.Prefix != "" { // the list does not say
		var err error
		if file, there, err = cached.bucket.Find(ctx, sourceignore.IgnoreFile); err != nil {
			return source.Ignore{}, failed(err)
		}
	}
	var content []byte
	switch {
	case !there:
	case file.ETag != "" && file.ETag == cached.ignore.etag:
		content = cached.ignore.content
	case file.Size > maxIgnore:
		return source.Ignore{}, failed(fmt.Errorf("%s has %d bytes, of which %d are allowed", sourceignore.IgnoreFile, file.Size, maxIgnore))
	default:
		var err error
		if content, err = cached.bucket.Get(ctx, file, ignoreRoom(file)); err != nil {
			return source.Ignore{}, failed(err)
		}
		cached.ignore = ignoreFile{file.ETag, content}
	}
	rules, err := source.NewIgnore(obj.Spec.Ignore, content)
	if err != nil {
		return source.Ignore{}, source.StorageFailed(err)
	}
	return rules, nil
}

// ignoreRoom is room for a .sourceignore with Content-Encoding gzip.
func ignoreRoom(file bucket.Object) bucket.Reserve {
	size := file.Size
	return func(bytes int64) error {
		if size += bytes; size > maxIgnore {
			return fmt.Errorf("%s has more than %d bytes when it is unpacked", sourceignore.IgnoreFile, maxIgnore)
		}
		return nil
	}
}

// maxIgnore bounds a .sourceignore, in bytes.
const maxIgnore = 64 << 10

// files reads what is listed: from the artifact of before what it has with the same etag,
// and the rest from the bucket.
func (r *Reconciler) files(
	ctx context.Context, obj *sourcev1.Bucket, cached *openedBucket, listed objectListing, memory *budget.Grant,
) (source.Files, error) {
	if err := memory.Grow(listed.bytes); err != nil {
		return nil, fmt.Errorf("reading %d bytes of objects: %w", listed.bytes, err)
	}
	reserve := unpackingRoom(obj, listed.bytes, memory)
	contents, missing, err := r.unchangedContents(ctx, obj, listed, reserve)
	if err != nil {
		return nil, err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(downloads)
	var mu sync.Mutex
	for _, o := range missing {
		group.Go(func() error {
			return background.Try(ctx, func() error { // the clients of clouds read what an endpoint makes up
				data, err := cached.bucket.Get(ctx, o, reserve)
				mu.Lock()
				defer mu.Unlock()
				contents[o.Key] = tree.Content{Mode: tree.File, Data: data}
				return err
			})
		})
	}
	if err := group.Wait(); err != nil {
		return nil, failed(err)
	}
	files, err := tree.New(contents)
	if err != nil {
		return nil, failed(fmt.Errorf("the objects of bucket '%s' make no files: %w", obj.Spec.BucketName, err))
	}
	found, err := source.FilesOf(files)
	if err != nil {
		return nil, source.StorageFailed(err)
	}
	return source.All(found), nil
}

// unpackingRoom is room for what objects with Content-Encoding gzip have beyond their sizes in the list.
func unpackingRoom(obj *sourcev1.Bucket, listed int64, memory *budget.Grant) bucket.Reserve {
	var all atomic.Int64
	all.Store(listed)
	return func(bytes int64) error {
		if all.Add(bytes) > maxBytes {
			return fmt.Errorf("the objects of bucket '%s' have more than %d bytes when they are unpacked: leave some out by spec.prefix, "+
				"spec.ignore or a .sourceignore", obj.Spec.BucketName, maxBytes)
		}
		if err := memory.Grow(bytes); err != nil {
			return fmt.Errorf("unpacking objects: %w", err)
		}
		return nil
	}
}

// unchangedContents takes from the artifact in status what is still the same, and says what is not.
func (r *Reconciler) unchangedContents(
	ctx context.Context, obj *sourcev1.Bucket, listed objectListing, reserve bucket.Reserve,
) (map[string]tree.Content, []bucket.Object, error) {
	contents := make(map[string]tree.Content, len(listed.objects))
	var etags map[string]string
	note := r.Publisher.Store.Note(obj.Status.Artifact)
	var files tree.Tree
	if json.Unmarshal(note, &etags) == nil && obj.Status.Artifact.HasRevision(revisionOf(etags)) {
		files, _ = r.Opener.Open(ctx, obj.Namespace, obj.Status.Artifact) // without it, all is read again
	}
	var missing []bucket.Object
	for _, key := range slices.Sorted(maps.Keys(listed.objects)) {
		o := listed.objects[key]
		if files != nil && o.ETag != "" && etags[key] == o.ETag {
			if data, err := files.ReadFile(key); err == nil {
				if err := reserve(max(0, int64(len(data))-o.Size)); err != nil {
					return nil, nil, err
				}
				contents[key] = tree.Content{Mode: tree.File, Data: data}
				continue
			}
		}
		missing = append(missing, o)
	}
	return contents, missing, nil
}
