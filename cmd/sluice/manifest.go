package main

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
)

// maxManifest bounds a file of manifests.
const maxManifest = 64 << 20

// readFile reads a file, or standard input as "-".
func readFile(cmd *cobra.Command, name string) ([]byte, error) {
	in := cmd.InOrStdin()
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	}
	content, err := io.ReadAll(io.LimitReader(in, maxManifest+1))
	if err == nil && len(content) > maxManifest {
		err = fmt.Errorf("%s has more than %d MiB", name, maxManifest>>20)
	}
	return content, err
}

// documents splits a file of manifests, and Lists in it.
func documents(content []byte) ([][]byte, error) {
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

// isImage tells whether a document is of a kind of the group of images, of whatever
// version. Other groups have kinds of the same name.
func isImage(document []byte, kind string) bool {
	var is metav1.TypeMeta
	if yaml.Unmarshal(document, &is) != nil || is.Kind != kind {
		return false
	}
	group, _, _ := strings.Cut(is.APIVersion, "/")
	return is.APIVersion == "" || group == imagev1.GroupVersion.Group
}

// isPolicy tells whether a document is an ImagePolicy, of whatever version.
func isPolicy(document []byte) bool { return isImage(document, imagev1.ImagePolicyKind) }

// current refuses the versions of before: their fields have other meanings.
func current(document []byte) error {
	var is metav1.PartialObjectMetadata
	if err := yaml.Unmarshal(document, &is); err != nil {
		return err
	}
	if want := imagev1.GroupVersion.String(); is.APIVersion != "" && is.APIVersion != want {
		return fmt.Errorf("%s %s is of version %s, which is not read: change it to %s, as flux migrate does", is.Kind, is.Name, is.APIVersion, want)
	}
	return nil
}

// parsePolicy reads an ImagePolicy. A field that it does not have is an error:
// judging by less than the file says would be a wrong answer.
func parsePolicy(document []byte) (*imagev1.ImagePolicy, error) {
	if err := current(document); err != nil {
		return nil, err
	}
	p := &imagev1.ImagePolicy{}
	if err := yaml.UnmarshalStrict(document, p); err != nil {
		return nil, fmt.Errorf("reading ImagePolicy: %w", err)
	}
	return p, nil
}
