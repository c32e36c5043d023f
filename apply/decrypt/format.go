// SPDX-License-Identifier: Apache-2.0

package decrypt

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/config"
	sopsdotenv "github.com/getsops/sops/v3/stores/dotenv"
	sopsini "github.com/getsops/sops/v3/stores/ini"
	sopsjson "github.com/getsops/sops/v3/stores/json"
	sopsyaml "github.com/getsops/sops/v3/stores/yaml"
	corev1 "k8s.io/api/core/v1"
)

// format is one of those that SOPS has.
type format string

const (
	binary format = "binary"
	dotenv format = "dotenv"
	ini    format = "INI"
	jsons  format = "JSON"
	yamls  format = "YAML"
)

// store reads and writes one format.
type store interface {
	sops.EncryptedFileLoader
	sops.PlainFileEmitter
}

func (f format) store() store {
	stores := config.NewStoresConfig()
	switch f {
	case dotenv:
		return sopsdotenv.NewStore(&stores.Dotenv)
	case ini:
		return sopsini.NewStore(&stores.INI)
	case jsons:
		return sopsjson.NewStore(&stores.JSON)
	case yamls:
		return sopsyaml.NewStore(&stores.YAML)
	case binary:
	}
	return sopsjson.NewBinaryStore(&stores.JSONBinary)
}

// What the metadata of each format looks like.
var (
	dotenvMark = regexp.MustCompile(`(?m)^sops_mac=ENC\[`)
	iniMark    = regexp.MustCompile(`(?ms)^\[sops\][ \t\r]*$.*^mac\s*=\s*ENC\[`)
	jsonMark   = regexp.MustCompile(`"mac"\s*:\s*"ENC\[`)
	yamlMark   = regexp.MustCompile(`(?ms)^sops:.*^\s+mac:\s*["']?ENC\[`)
)

// formatOf says in which format a file was encrypted, whatever its name; "" if it was not
// encrypted by SOPS. Whatever has no format of its own is JSON with one field, data.
func formatOf(data []byte) format {
	switch trimmed := bytes.TrimSpace(data); {
	case bytes.HasPrefix(trimmed, []byte("{")) && jsonMark.Match(trimmed):
		var fields map[string]json.RawMessage
		if json.Unmarshal(trimmed, &fields) != nil || fields["sops"] == nil {
			return ""
		}
		if len(fields) == 2 && bytes.HasPrefix(fields["data"], []byte(`"`)) {
			return binary
		}
		return jsons
	case yamlMark.Match(data):
		return yamls
	case iniMark.Match(data):
		return ini
	case dotenvMark.Match(data):
		return dotenv
	}
	return ""
}

// formatFor is the format in which a file of a name is wanted that was encrypted in
// another one; the name says it, as in Flux, or else it stays what it was.
func formatFor(name string, from format) format {
	switch {
	case strings.HasSuffix(name, ".yaml"), strings.HasSuffix(name, ".yml"):
		return yamls
	case strings.HasSuffix(name, ".json"), strings.HasSuffix(name, corev1.DockerConfigJsonKey):
		return jsons
	case strings.HasSuffix(name, ".env") && from != binary:
		return dotenv
	case strings.HasSuffix(name, ".ini") && from != binary:
		return ini
	}
	return from
}
