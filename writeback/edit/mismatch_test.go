// SPDX-License-Identifier: Apache-2.0

package edit_test

import (
	"strings"
	"testing"

	"github.com/sluice-cd/sluice/writeback/edit"
)

// only are the outcome's reason and value of the one marker of a file.
func only(t *testing.T, content string) edit.MarkerResult {
	t.Helper()
	images := edit.Images{Namespace: "apps", ByPolicy: map[string]edit.Image{
		"app": {Name: "ghcr.io/acme/app", Tag: "2.0.0", Digest: "sha256:" + strings.Repeat("0a", 32)}}}
	edited, outcomes, err := edit.Apply([]byte(content), images)
	if err != nil || len(outcomes) != 1 {
		t.Fatalf("%d outcomes, error %v", len(outcomes), err)
	}
	if outcomes[0].Changed() == (string(edited) == content) {
		t.Errorf("changed %v, and the file is %q", outcomes[0].Changed(), edited)
	}
	return outcomes[0]
}

// secretWith is a Secret with a value in one of its fields.
func secretWith(field, value string) string {
	return "apiVersion: v1\nkind: Secret\nmetadata:\n  name: web\n" + field + ":\n  web: " + value
}

func TestAMarkerThatAsksForWhatTheFieldCannotBeIsHeld(t *testing.T) {
	const digest = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
	tests := map[string]struct {
		content string
		part    string
		want    edit.Reason
	}{
		"a tag of a kustomization gets a reference":     {"images:\n- name: web\n  newTag: 1.0.0", "", edit.NeedsTag},
		"a tag of a kustomization that has a reference": {"images:\n- name: web\n  newTag: ghcr.io/acme/app:1", "", edit.NeedsTag},
		"a tag of a kustomization gets a name":          {"images:\n- newTag: 1.0.0", ":name", edit.NeedsTag},
		"a tag of a kustomization gets a digest":        {"images:\n- newTag: 1.0.0", ":digest", edit.NeedsTag},
		"a tag of a kustomization gets a tag":           {"images:\n- newTag: 1.0.0", ":tag", ""},
		"a tag of a kustomization is mended":            {"images:\n- newTag: ghcr.io/acme/app:1", ":tag", ""},
		"a name of a kustomization gets a reference":    {"images:\n- newName: ghcr.io/acme/app", "", edit.NeedsName},
		"a name of a kustomization gets a tag":          {"images:\n- newName: ghcr.io/acme/app", ":tag", edit.NeedsName},
		"a name of a kustomization gets a name":         {"images:\n- newName: ghcr.io/acme/app", ":name", ""},
		"what a kustomization finds an image by": {
			"apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nimages:\n- name: web", "", edit.NeedsName,
		},
		"a digest of a kustomization gets a reference":    {"images:\n- digest: " + digest, "", edit.NeedsDigest},
		"a digest of a kustomization gets a tag":          {"images:\n- digest: " + digest, ":tag", edit.NeedsDigest},
		"a digest of a kustomization gets a digest":       {"images:\n- digest: " + digest, ":digest", ""},
		"a tag of a chart gets a reference":               {"image:\n  repository: ghcr.io/acme/app\n  tag: 1.0.0", "", edit.NeedsTag},
		"an empty tag of a chart gets a reference":        {"image:\n  tag: \"\"", "", edit.NeedsTag},
		"a tag that is a number gets a reference":         {"tag: 10", "", edit.NeedsTag},
		"a tag with a word before it":                     {"imageTag: v1", "", edit.NeedsTag},
		"a tag that somebody keeps a reference in":        {"tag: ghcr.io/acme/app:1", "", ""},
		"a word that ends like a tag":                     {"stage: prod", "", ""},
		"a repository of a chart gets a reference":        {"image:\n  tag: v1\n  repository: ghcr.io/acme/app", "", edit.NeedsName},
		"a repository of a chart gets a tag":              {"repository: ghcr.io/acme/app", ":tag", edit.NeedsName},
		"a repository that is all there is":               {"repository: ghcr.io/acme/app", "", ""},
		"a repository that somebody keeps a reference in": {"tag: v1\nrepository: ghcr.io/acme/app:1", "", ""},
		"an image gets a tag":                             {"image: ghcr.io/acme/app:1", ":tag", edit.NeedsAll},
		"an image gets a digest":                          {"image: ghcr.io/acme/app:1", ":digest", edit.NeedsAll},
		"an image gets a reference":                       {"image: app", "", ""},
		"an image beside its tag gets a reference":        {"image: ghcr.io/acme/app%tag: v1", "", edit.NeedsName},
		"an image beside its tag gets a name":             {"image: ghcr.io/acme/app%tag: v1", ":name", ""},
		"a variable for a tag gets a reference":           {"env:\n- name: IMAGE_TAG\n  value: v1", "", edit.NeedsTag},
		"a parameter for a tag gets a reference":          {"parameters:\n- name: web.image.tag\n  value: v1", "", edit.NeedsTag},
		"a variable for a tag gets a tag":                 {"env:\n- name: IMAGE_TAG\n  value: v1", ":tag", ""},
		"a variable for an image gets a reference":        {"env:\n- name: RELATED_IMAGE\n  value: app:1", "", ""},
		"a literal would lose its name":                   {"literals:\n- TAG=v1", ":tag", edit.HoldsMore},
		"an address would lose its scheme":                {"url: oci://ghcr.io/acme/app:1", "", edit.HoldsMore},
		"a tag in a template that is no YAML":             {"{{ if x }}\nnewTag: 1.0.0", "", edit.NeedsTag},
		"a tag in quotes in a template that is no YAML":   {"{{ if x }}\n- \"tag\" : '1.0.0'", "", edit.NeedsTag},
		"a version of a chart gets a reference":           {"chart:\n  spec:\n    version: 1.0.0", "", edit.NeedsVersion},
		"a version of a chart gets a name":                {"chart:\n  spec:\n    version: '>=1.0'", ":name", edit.NeedsVersion},
		"a version of a chart gets a tag":                 {"chart:\n  spec:\n    version: 1.0.0", ":tag", ""},
		"a range of versions gets a tag":                  {"chart:\n  spec:\n    version: '>=1.0'", ":tag", ""},
		"a version that somebody keeps a reference in":    {"version: ghcr.io/acme/app:1", "", ""},
		"a version of which nothing is known":             {"version: ''", "", edit.NeedsVersion},
		"an empty variable for a version":                 {"env:\n- name: APP_VERSION\n  value: \"\"", "", edit.NeedsVersion},
		"an empty version gets a tag":                     {"version: ''", ":tag", ""},
		"data of a Secret":                                {secretWith("data", "Z2hjci5pby9hcHA6MQ"), "", edit.Base64},
		"data of a Secret, padded":                        {secretWith("data", "djEuMA=="), ":tag", edit.Base64},
		"stringData of a Secret":                          {secretWith("stringData", "ghcr.io/acme/app:1"), "", ""},
		"binary data of a ConfigMap":                      {"apiVersion: v1\nkind: ConfigMap\nbinaryData:\n  web: YWJj", "", edit.Base64},
		"data of a ConfigMap":                             {"apiVersion: v1\nkind: ConfigMap\ndata:\n  web: ghcr.io/acme/app:1", "", ""},
		"a variable for a version gets a reference":       {"env:\n- name: APP_VERSION\n  value: v1", "", edit.NeedsVersion},
		"a label for a version gets a reference":          {"labels:\n  app.kubernetes.io/version: v1", "", edit.NeedsVersion},
		"a label for a tag gets a reference":              {"labels:\n  example.com/tag: v1", "", edit.NeedsTag},
		"a word that ends like a version":                 {"conversion: none", "", ""},
		// A value in base64 was replaced by the image in all kinds but Secrets and ConfigMaps.
		"a reference in base64 in values of a chart":   {"values:\n  image: Z2hjci5pby9hY21lL2FwcDox", "", edit.Encoded},
		"a tag in base64 in values of a chart":         {"values:\n  tag: djEuMA==", ":tag", edit.Encoded},
		"a tag in base64 without padding":              {"values:\n  tag: MS4yLjMz", ":tag", edit.Encoded},
		"a tag in base64 whose padding was left out":   {"values:\n  tag: djEuMA", ":tag", edit.Encoded},
		"a digest in base64":                           {"values:\n  x: c2hhMjU2OjJjMjZiNDZi", ":digest", edit.Encoded},
		"a name with a line break in base64":           {"values:\n  x: Z2hjci5pby9hY21lL2FwcAo=", ":name", edit.Encoded},
		"a reference in base64 in quotes":              {"encryptedData:\n  x: \"Z2hjci5pby9hY21lL2FwcDox\"", "", edit.Encoded},
		"what is sealed":                               {"spec:\n  sealed: " + strings.Repeat("AgBy3i4OJSWK", 12), "", edit.Encoded},
		"a word of letters that is base64 by accident": {"tag: main", ":tag", ""},
		"a tag of a commit that is base64 by accident": {"tag: deadbeef", ":tag", ""},
		"a tag of a long commit":                       {"tag: " + strings.Repeat("0a1b2c3d4e", 4), ":tag", ""},
		"a tag of a date":                              {"tag: \"20260301\"", ":tag", ""},
		"a tag of letters in capitals":                 {"tag: RELEASE1", ":tag", ""},
		"an image of one word":                         {"image: nginx", "", ""},
		"a version with what it was built of":          {"chart:\n  version: 1.0.0+abcd", ":tag", ""},
		"a tag whose value is on the next line":        {"tag: !!str%  v1", "", edit.NeedsTag},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			marker := " # {\"$imagepolicy\": \"apps:app" + tc.part + "\"}\n"
			line, rest, _ := strings.Cut(tc.content, "%") // the marker is there, or at the end
			content := line + marker + rest
			if got := only(t, content); got.Skip != tc.want {
				t.Errorf("%q: got %+v, want reason %q", content, got, tc.want)
			}
		})
	}
}

func TestValuesThatTheMACOfSOPSCoversAreHeld(t *testing.T) {
	const value = "image: app:1 # {\"$imagepolicy\": \"apps:app\"}\n"
	const secret = "password: ENC[AES256_GCM,data:Zm9v,iv:AA==,tag:AA==,type:str]\n"
	tests := map[string]struct {
		content string
		want    edit.Reason
	}{
		"a file with metadata":       {value + secret + "sops:\n    mac: ENC[x]\n    version: 3.9.0\n", edit.Encrypted},
		"a MAC of what is encrypted": {value + secret + "sops:\n    mac: ENC[x]\n    mac_only_encrypted: true\n", ""},
		"a MAC of all, said so": {
			value + secret + "sops:\n    mac: ENC[x]\n    mac_only_encrypted: false\n", edit.Encrypted,
		},
		"another document of the file":      {secret + "sops:\n    mac: ENC[x]\n---\n" + value, edit.Encrypted},
		"metadata in a flow":                {value + "sops: {mac: x}\n", edit.Encrypted},
		"metadata behind a byte order mark": {"\uFEFFsops:\n    mac: ENC[x]\n" + value, edit.Encrypted},
		"metadata behind a question mark":   {value + "? sops\n: mac: x\n", edit.Encrypted},
		"metadata behind a tag":             {value + "!!str sops: {mac: x}\n", edit.Encrypted},
		"metadata in a flow of lines": {
			"{\n  \"image\":\n" + `    "app:1", # {"$imagepolicy": "apps:app"}` + "\n  \"sops\": {\"mac\": \"x\"}\n}\n",
			edit.Encrypted,
		},
		"a field of another mapping that is no YAML": {value + "{{ if x }}\nx:\n  sops:\n    mac: x\n", ""},
		"metadata in quotes":                         {value + "\"sops\": {\"mac\": \"x\"}\n", edit.Encrypted},
		"a file that is no YAML":                     {value + "{{ if x }}\nsops:\n  mac: x\n", edit.Encrypted},
		"a field that is called so":                  {value + "sops: enabled\n", ""},
		"a field of another mapping":                 {value + "x:\n  sops:\n    mac: x\n", ""},
		"a file that is not encrypted":               {value, ""},
		"a file without a MAC":                       {value + "sops:\n    version: 3.9.0\n", ""},
		"an encrypted value without a MAC of it": {
			"image: ENC[AES256_GCM,data:x] # {\"$imagepolicy\": \"apps:app\"}\nsops:\n    mac: x\n    mac_only_encrypted: true\n", edit.Encrypted},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := only(t, tc.content); got.Skip != tc.want {
				t.Errorf("got %+v, want reason %q", got, tc.want)
			}
		})
	}
}
