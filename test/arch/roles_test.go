// SPDX-License-Identifier: Apache-2.0

package arch

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

// TestTheTableOfRolesSaysWhoReadsSecrets holds docs/security.md to config/rbac: whoever decides
// what to install by it must not grant the Secrets of a cluster unawares.
func TestTheTableOfRolesSaysWhoReadsSecrets(t *testing.T) {
	rows := rowsOf(t, "security.md")
	files, err := filepath.Glob(filepath.Join("..", "..", "config", "rbac", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no roles: %v", err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		for _, verb := range []string{"get", "list"} {
			for _, resource := range []string{"secrets", "serviceaccounts"} {
				title := map[string]string{"secrets": "Secrets", "serviceaccounts": "ServiceAccounts"}[resource]
				said := saysVerb(rows["`"+name+"`"], verb, title)
				if grants := granted(t, file, resource, verb); grants != said {
					t.Errorf("%s grants %s of %s: %t, and docs/security.md says so: %t", name, verb, resource, grants, said)
				}
			}
		}
	}
}

// TestTheTableOfWatchesSaysWhoWatchesSecrets holds docs/architecture.md to the code.
func TestTheTableOfWatchesSaysWhoWatchesSecrets(t *testing.T) {
	for kind, row := range rowsOf(t, "architecture.md") {
		dir := filepath.Join("..", "..", "controllers", strings.ToLower(kind))
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			continue // not of the table of kinds
		}
		watches := slices.ContainsFunc(files, func(file string) bool {
			source, err := os.ReadFile(file)
			return err == nil && bytes.Contains(source, []byte("reconciler.Secrets["))
		})
		if said := strings.Contains(row, "metadata of its Secrets"); said != watches {
			t.Errorf("%s watches its Secrets: %t, and docs/architecture.md says so: %t", kind, watches, said)
		}
	}
}

// rowsOf are the rows of the tables of a page, by what is in their first cell; the first of
// several counts.
func rowsOf(t *testing.T, page string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", page))
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 {
			continue
		}
		first := strings.TrimSpace(cells[1])
		first, _, _ = strings.Cut(first, ",")
		if _, known := rows[first]; !known {
			rows[first] = cells[2]
		}
	}
	return rows
}

// saysVerb reports whether a row says that a resource may be had with a verb: in one of its
// parts, which semicolons separate, both are named.
func saysVerb(row, verb, title string) bool {
	word := regexp.MustCompile(`\b(` + verb + `|read)\b`)
	if verb == "list" {
		word = regexp.MustCompile(`\blist\b`)
	}
	return slices.ContainsFunc(strings.Split(row, ";"), func(part string) bool {
		return word.MatchString(part) && regexp.MustCompile(`\b`+title+`\b`).MatchString(part)
	})
}

// granted reports whether a role in a file may use a verb on a resource of the core group.
func granted(t *testing.T, file, resource, verb string) bool {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, document := range bytes.Split(text, []byte("\n---\n")) {
		var role rbacv1.ClusterRole
		if err := yaml.Unmarshal(document, &role); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, rule := range role.Rules {
			if slices.Contains(rule.APIGroups, "") && slices.Contains(rule.Resources, resource) && slices.Contains(rule.Verbs, verb) {
				return true
			}
		}
	}
	return false
}
