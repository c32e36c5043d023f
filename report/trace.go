// SPDX-License-Identifier: Apache-2.0

package report

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// Trace is the way of an object back to where it comes from.
type Trace struct {
	// Object is the one that is traced.
	Object ObjectReference `json:"object"`
	// Through are objects that own it, in the cluster, up to the one that was applied.
	Through []ObjectReference `json:"through,omitempty"`
	// Owner has applied it: a Kustomization or a HelmRelease. Nobody has if it is not there.
	Owner *TracedOwner `json:"owner,omitempty"`
	// Source is what the owner was built from.
	Source *TracedSource `json:"source,omitempty"`
	// Images are the images of its pods of which a policy chooses the tag.
	Images []TracedImage `json:"images,omitempty"`
	// Stages of Pipelines that are judged by the object, by what owns it or by who applied it.
	Stages []TracedStage `json:"stages,omitempty"`
}

// TracedOwner is who has applied an object.
type TracedOwner struct {
	Resource
	// Path is the directory of the source that it is built from.
	Path string `json:"path,omitempty"`
}

// TracedSource is a source, and where its own content comes from.
type TracedSource struct {
	Resource
	// URL is where it is fetched from; for a Bucket its name at an endpoint.
	URL string `json:"url,omitempty"`
	// OriginSource is where the files of an artifact of a registry come from, as whoever pushed
	// it says.
	OriginSource string `json:"originSource,omitempty"`
	// OriginRevision is the revision that they are of, as whoever pushed it says.
	OriginRevision string `json:"originRevision,omitempty"`
}

// TracedImage is an image of an object's pods, and how it got there.
type TracedImage struct {
	// Runs is the image as the object has it.
	Runs string `json:"runs"`
	Image
}

// TracedStage is a stage of a Pipeline, and what it has.
type TracedStage struct {
	// Pipeline of the stage.
	Pipeline ObjectReference `json:"pipeline"`
	sluicev1.StageStatus
}

// TraceStages are the stages that are judged by an object on the way of a trace, in the order
// of the pipelines.
func TraceStages(traced Trace, pipelines []sluicev1.Pipeline) []TracedStage {
	way := append([]ObjectReference{traced.Object}, traced.Through...)
	if o := traced.Owner; o != nil {
		way = append(way, ObjectReference{Kind: o.Kind, Namespace: o.Namespace, Name: o.Name})
	}
	var found []TracedStage
	for i := range pipelines {
		p := &pipelines[i]
		for j := range p.Spec.Stages {
			stage := &p.Spec.Stages[j]
			if slices.ContainsFunc(way, func(object ObjectReference) bool { return isJudgedBy(p, stage, object) }) {
				found = append(found, TracedStage{
					Pipeline:    ObjectReference{Kind: sluicev1.PipelineKind, Namespace: p.Namespace, Name: p.Name},
					StageStatus: statusOf(p, stage.Name),
				})
			}
		}
	}
	return found
}

// OfOwner reports who has applied an object.
func OfOwner(u *unstructured.Unstructured) TracedOwner {
	path, _, _ := unstructured.NestedString(u.Object, "spec", "path")
	return TracedOwner{Resource: OfResource(u), Path: path}
}

// OfSource reports a source.
func OfSource(u *unstructured.Unstructured) TracedSource {
	s := TracedSource{Resource: OfResource(u)}
	text := func(path ...string) string { found, _, _ := unstructured.NestedString(u.Object, path...); return found }
	s.URL = text("spec", "url")
	if bucket := text("spec", "bucketName"); s.URL == "" && bucket != "" {
		s.URL = text("spec", "endpoint") + "/" + bucket
	}
	s.OriginSource = text("status", "artifact", "metadata", "org.opencontainers.image.source")
	s.OriginRevision = text("status", "artifact", "metadata", "org.opencontainers.image.revision")
	return s
}

// podSpecs are where kinds of workloads have that of their pods.
var podSpecs = [][]string{
	{"spec"}, {"spec", "template", "spec"}, {"spec", "jobTemplate", "spec", "template", "spec"},
}

// ImagesIn are the images that the pods of a workload run, each once, in the order of its
// containers.
func ImagesIn(u *unstructured.Unstructured) []string {
	var found []string
	for _, path := range podSpecs {
		for _, field := range []string{"initContainers", "containers"} {
			containers, _, _ := unstructured.NestedSlice(u.Object, append(slices.Clone(path), field)...)
			for _, item := range containers {
				container, _ := item.(map[string]any)
				if image, _ := container["image"].(string); image != "" && !slices.Contains(found, image) {
					found = append(found, image)
				}
			}
		}
	}
	return found
}

// TraceImages says of images that run how those got there of which a policy chooses the tag.
func TraceImages(running []string, known []Image) []TracedImage {
	var found []TracedImage
	for _, runs := range running {
		for _, image := range known {
			if image.Image != "" && image.Image == withoutTag(runs) {
				found = append(found, TracedImage{Runs: runs, Image: image})
			}
		}
	}
	return found
}

// withoutTag is the repository of an image: without a digest, and without a tag, which a
// colon after the last slash begins; one before it begins a port.
func withoutTag(image string) string {
	image, _, _ = strings.Cut(image, "@")
	if at := strings.LastIndexByte(image, ':'); at > strings.LastIndexByte(image, '/') {
		return image[:at]
	}
	return image
}
