// SPDX-License-Identifier: Apache-2.0

// Package manifest reads YAML for commands that need no cluster, such as sluice explain policy --file and sluice update: files
// and standard input, the documents and Lists in them, ImagePolicies and ImageRepositories.
//
// It is as strict as the API server, since what a command says of a file must hold for the object that is made of it: a field
// that the kind does not have is an error.
package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/bounded"
)

// maxManifest is the most bytes that a file of manifests may have.
const maxManifest = 64 << 20

// ReadFile reads a file, or standard input as "-".
func ReadFile(cmd *cobra.Command, name string) ([]byte, error) {
	in := cmd.InOrStdin()
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	}
	return bounded.ReadAll(in, maxManifest, fmt.Errorf("%s has more than %d MiB", name, maxManifest>>20))
}

// Split splits a file into its documents, and Lists into their items.
func Split(content []byte) ([][]byte, error) {
	var found [][]byte
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
	for {
		var raw runtime.RawExtension
		err := decoder.Decode(&raw)
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		if len(raw.Raw) == 0 || string(raw.Raw) == "null" {
			continue
		}
		found = append(found, itemsOf(raw.Raw)...)
	}
}

// itemsOf are the items of a List, or the document itself if it is none: what is
// wrong with it is for the caller to say.
func itemsOf(document []byte) [][]byte {
	var list struct {
		Items []runtime.RawExtension `json:"items"`
	}
	if yaml.Unmarshal(document, &list) != nil || list.Items == nil {
		return [][]byte{document}
	}
	var items [][]byte
	for _, item := range list.Items {
		items = append(items, item.Raw)
	}
	return items
}

// IsImage reports whether a document is of a kind of the image group, in any version.
// Other groups have kinds of the same name.
func IsImage(document []byte, kind string) bool {
	var is metav1.TypeMeta
	if yaml.Unmarshal(document, &is) != nil || is.Kind != kind {
		return false
	}
	group, _, _ := strings.Cut(is.APIVersion, "/")
	return is.APIVersion == "" || group == imagev1.GroupVersion.Group
}

// IsPolicy reports whether a document is an ImagePolicy, in any version.
func IsPolicy(document []byte) bool { return IsImage(document, imagev1.ImagePolicyKind) }

// checkVersion refuses older versions of an API, whose fields have other meanings.
func checkVersion(document []byte) error {
	var is metav1.PartialObjectMetadata
	if err := yaml.Unmarshal(document, &is); err != nil {
		return err
	}
	if want := imagev1.GroupVersion.String(); is.APIVersion != "" && is.APIVersion != want {
		return fmt.Errorf("%s %s is of version %s, which is not read: change it to %s, as flux migrate does",
			is.Kind, is.Name, is.APIVersion, want)
	}
	return nil
}

// ParsePolicy reads an ImagePolicy.
func ParsePolicy(document []byte) (*imagev1.ImagePolicy, error) {
	return parse(document, imagev1.ImagePolicyKind, &imagev1.ImagePolicy{})
}

// ParseRepository reads an ImageRepository.
func ParseRepository(document []byte) (*imagev1.ImageRepository, error) {
	return parse(document, imagev1.ImageRepositoryKind, &imagev1.ImageRepository{})
}

// parse reads an object. A field that the kind does not have is an error: judging by
// less than the file says would be a wrong answer.
func parse[T any](document []byte, kind string, into T) (T, error) {
	if err := checkVersion(document); err != nil {
		return into, err
	}
	if err := yaml.UnmarshalStrict(document, into); err != nil {
		return into, fmt.Errorf("reading %s: %w", kind, err)
	}
	return into, nil
}
