// SPDX-License-Identifier: Apache-2.0

package build

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// What SOPS writes: every encrypted value is one of these, and so is the checksum
// of a file in any of its formats (YAML, JSON, dotenv, INI, and JSON for whatever
// else was encrypted).
var ciphertext = regexp.MustCompile(`ENC\[AES256_GCM,data:[^,\]]*,iv:[^,\]]*,tag:[^,\]]*,type:[a-z]+\]`)

// isSealed reports whether a file has values that SOPS encrypted.
func isSealed(data []byte) bool {
	return bytes.Contains(data, []byte("ENC[AES256_GCM,")) && ciphertext.Match(data)
}

// decryptKey is the label or annotation that upstream knows for objects that are not
// to be decrypted: those are applied as they are.
const decryptKey = "kustomize.toolkit.fluxcd.io/decrypt"

// unsealed returns an error for an object that is encrypted with SOPS, or that was
// generated from files that are. It would reach the cluster as it is, and whoever
// reads it would take the ciphertext for the value.
func (o *overlay) unsealed(obj *unstructured.Unstructured) error {
	if obj.GetLabels()[decryptKey] == disabled || obj.GetAnnotations()[decryptKey] == disabled {
		return nil
	}
	if obj.GetKind() == "SopsSecret" { // of an operator that decrypts it in the cluster
		return nil
	}
	field, value := firstSealed(obj.Object, "")
	if _, encrypted := obj.Object["sops"].(map[string]any); encrypted && field == "" {
		field = "sops"
	}
	if field == "" {
		return nil
	}
	if file := o.sealedFile(value); file != "" {
		return fmt.Errorf("%s (from %s) %w", field, file, ErrEncrypted)
	}
	return fmt.Errorf("%s %w", field, ErrEncrypted)
}

// sealedFile is the file that an encrypted value comes from.
func (o *overlay) sealedFile(value string) string {
	for _, name := range slices.Sorted(maps.Keys(o.sealed)) {
		if value != "" && bytes.Contains(o.sealed[name], []byte(value)) {
			return name
		}
	}
	return ""
}

// firstSealed returns the first field with an encrypted value, and that value.
func firstSealed(value any, field string) (string, string) {
	switch value := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(value)) {
			if at, found := firstSealed(value[key], strings.TrimPrefix(field+"."+key, ".")); at != "" {
				return at, found
			}
		}
	case []any:
		for i, item := range value {
			if at, found := firstSealed(item, fmt.Sprintf("%s[%d]", field, i)); at != "" {
				return at, found
			}
		}
	case string:
		if found := ciphertextIn(value, field); found != "" {
			return field, found
		}
	}
	return "", ""
}

// ciphertextIn returns the first encrypted value in a text, which the data of a
// Secret and the binary data of a ConfigMap hide in base64.
func ciphertextIn(text, field string) string {
	if strings.Contains(text, "ENC[AES256_GCM,") {
		return ciphertext.FindString(text)
	}
	if dir := path.Dir(strings.Replace(field, ".", "/", 1)); dir != "data" && dir != "binaryData" {
		return ""
	}
	if decoded, err := base64.StdEncoding.DecodeString(text); err == nil && isSealed(decoded) {
		return string(ciphertext.Find(decoded))
	}
	return ""
}
