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
// generated from files that are. Applied as it is, its ciphertext would be
// taken for the value.
func (o *overlay) unsealed(obj *unstructured.Unstructured) error {
	if keepsEncrypted(obj) || o.masks {
		return nil
	}
	field, value := sealedField(obj)
	if field == "" {
		return nil
	}
	reason := ErrEncrypted
	if o.decrypt != nil {
		reason = ErrStaysEncrypted
	}
	if file := o.sealedFile(value); file != "" {
		return fmt.Errorf("%s (from %s) %w", field, file, reason)
	}
	return fmt.Errorf("%s %w", field, reason)
}

// sealedField is the first field of an object that SOPS encrypted, or its own; "" if there is none.
func sealedField(obj *unstructured.Unstructured) (field, value string) {
	field, value = firstSealed(obj.Object, "")
	if _, encrypted := obj.Object["sops"].(map[string]any); encrypted && field == "" {
		field = "sops"
	}
	return field, value
}

// IsEncrypted reports whether an object of a build with [Spec.Masks] has values that SOPS
// encrypted and that are decrypted where it is applied. In a Secret they are [Masked].
func IsEncrypted(obj *unstructured.Unstructured) bool {
	if obj.GetKind() == "Secret" && obj.GroupVersionKind().Group == "" {
		for _, masked := range []string{Masked, maskedConfig} {
			for field, mask := range maskOf(masked) {
				values, _ := obj.Object[field].(map[string]any)
				for _, value := range values {
					if value == mask {
						return true
					}
				}
			}
		}
	}
	field, _ := sealedField(obj)
	return field != "" && !keepsEncrypted(obj)
}

// file is the content of a file as kustomize sees it.
func (o *overlay) file(name string) ([]byte, error) {
	if plain, ok := o.plain[path.Clean(name)]; ok {
		return plain, nil
	}
	return o.content(name)
}

// open decrypts a file that kustomize reads for its content, such as that of a generator,
// and not for its objects: those are decrypted when they are built, so that what is not
// encrypted of them can be changed before.
func (o *overlay) open(l fileReference) error {
	name := path.Clean(l.name)
	if _, known := o.plain[name]; known || o.decrypt == nil {
		return nil
	}
	data, err := o.content(name)
	if err != nil || !isSealed(data) {
		return nil // it is outside of the source, and kustomize says so
	}
	// The library of SOPS follows aliases, however many values they stand for.
	if _, err := o.weigh(data); err != nil {
		return err
	}
	as := l.as
	if as == "" {
		as = path.Base(name)
	}
	if o.plain[name], err = o.unseal(data, as); err != nil {
		return o.refuse(fmt.Errorf("%s: %w", name, err))
	}
	return nil
}

// unseal decrypts a file.
func (o *overlay) unseal(data []byte, name string) ([]byte, error) {
	if err := o.ended(); err != nil {
		return nil, err
	}
	plain, err := o.decrypt(data, name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDecrypt, err)
	}
	return plain, nil
}

// decryptObject decrypts an object in JSON, and the files in the data of a Secret or a
// ConfigMap, unless the object says that it is to be applied as it is.
func (o *overlay) decryptObject(data []byte) ([]byte, error) {
	if o.masks {
		return maskSealed(data)
	}
	// In the data of a Secret, or the binary data of a ConfigMap, base64 hides it.
	mayHide := bytes.Contains(data, []byte(`"kind":"Secret"`)) || bytes.Contains(data, []byte(`"binaryData":`))
	if o.decrypt == nil || !mayHide && !bytes.Contains(data, []byte("ENC[")) {
		return data, nil
	}
	obj := &unstructured.Unstructured{}
	if err := obj.UnmarshalJSON(data); err != nil || keepsEncrypted(obj) {
		return data, nil // decoding it later fails with that error
	}
	if sops, ok := obj.Object["sops"].(map[string]any); ok && sops["mac"] != nil {
		plain, err := o.unseal(data, "object.json")
		if err != nil {
			return nil, err
		}
		if err := obj.UnmarshalJSON(plain); err != nil {
			return nil, fmt.Errorf("%w: it is no object any more", ErrDecrypt)
		}
	}
	for _, field := range []string{"data", "binaryData", "stringData"} {
		if err := o.decryptData(obj, field); err != nil {
			return nil, err
		}
	}
	return obj.MarshalJSON()
}

// Masked is what stands for a value that SOPS encrypted, as with the CLI of Flux.
const Masked = "**SOPS**"

// maskedConfig is Masked in a Secret with credentials of registries, where the API server takes JSON alone.
const maskedConfig = `{"mask":"` + Masked + `"}`

// maskOf is what masks the values in each field of a Secret.
func maskOf(masked string) map[string]string {
	return map[string]string{"data": base64.StdEncoding.EncodeToString([]byte(masked)), "stringData": masked}
}

// maskSealed masks what SOPS encrypted of a Secret in JSON.
func maskSealed(data []byte) ([]byte, error) {
	obj := &unstructured.Unstructured{}
	if err := obj.UnmarshalJSON(data); err != nil || obj.GetKind() != "Secret" || obj.GroupVersionKind().Group != "" {
		return data, nil // decoding it later fails with that error
	}
	_, whole := obj.Object["sops"]
	delete(obj.Object, "sops")
	masked := Masked
	if whole && obj.Object["type"] == "kubernetes.io/dockerconfigjson" {
		masked = maskedConfig
	}
	for field, mask := range maskOf(masked) {
		values, _ := obj.Object[field].(map[string]any)
		for name, value := range values {
			text, _ := value.(string)
			if whole || ciphertextIn(text, field+"."+name) != "" {
				values[name] = mask
			}
		}
	}
	return obj.MarshalJSON()
}

// decryptData decrypts the files in a field of a Secret or a ConfigMap.
func (o *overlay) decryptData(obj *unstructured.Unstructured, field string) error {
	encoded := field == "binaryData" || field == "data" && obj.GetKind() == "Secret"
	if gvk := obj.GroupVersionKind(); gvk.Group != "" || gvk.Kind != "Secret" && gvk.Kind != "ConfigMap" {
		return nil
	}
	files, _ := obj.Object[field].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		text, _ := files[name].(string)
		content := []byte(text)
		if encoded {
			var err error
			if content, err = base64.StdEncoding.DecodeString(text); err != nil {
				continue // the API server says so
			}
		}
		if !isSealed(content) {
			continue
		}
		if _, err := o.weigh(content); err != nil {
			return err
		}
		plain, err := o.unseal(content, name)
		if err != nil {
			return fmt.Errorf("%s.%s: %w", field, name, err)
		}
		if files[name] = string(plain); encoded {
			files[name] = base64.StdEncoding.EncodeToString(plain)
		}
	}
	return nil
}

// keepsEncrypted reports whether an object is meant to be applied as it is.
func keepsEncrypted(obj *unstructured.Unstructured) bool {
	return strings.EqualFold(obj.GetLabels()[decryptKey], disabled) || strings.EqualFold(obj.GetAnnotations()[decryptKey], disabled) ||
		obj.GetKind() == "SopsSecret" // of an operator that decrypts it in the cluster
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
