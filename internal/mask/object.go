// SPDX-License-Identifier: Apache-2.0

package mask

import (
	"net/url"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// lastApplied is the annotation in which kubectl keeps the whole object as somebody applied it, credentials included.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// userinfo is the user and the password of a URL, wherever in a text that is (RFC 3986, section 3.2.1).
var userinfo = regexp.MustCompile(`\b[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#@\s"']+@`)

// Object hides the credentials that stand literally in an object, instead of in a Secret that it names:
//
//	every URL                        its user and password, and the values of its query
//	Provider, AlertProvider          spec.address behind the host, which for most rooms is the credential by itself; that of a
//	                                 Git repository stays
//	MetricTemplate                   the values of spec.provider.headers
//	Canary                           the path of a webhook of type event, which may lead into a room as well
//
// The copy that kubectl keeps of the object in an annotation is left out. Where a text of the object is a manifest, [File] hides what
// is secret of that.
func Object(object *unstructured.Unstructured) {
	if annotations := object.GetAnnotations(); annotations[lastApplied] != "" {
		delete(annotations, lastApplied)
		object.SetAnnotations(annotations)
	}
	everyText(object.Object, hideInURLs)
	switch object.GetKind() {
	case "Provider", "AlertProvider":
		provider, _, _ := unstructured.NestedString(object.Object, "spec", "type")
		address, found, _ := unstructured.NestedString(object.Object, "spec", "address")
		if found && !leadsToRepository(provider) {
			_ = unstructured.SetNestedField(object.Object, behindHost(address), "spec", "address") // spec is a map, as it has a type
		}
	case "MetricTemplate":
		headers, _, _ := unstructured.NestedFieldNoCopy(object.Object, "spec", "provider", "headers")
		everyText(headers, func(string) string { return Hidden })
	case "Canary":
		for _, analysis := range []string{"analysis", "canaryAnalysis"} {
			webhooks, _, _ := unstructured.NestedFieldNoCopy(object.Object, "spec", analysis, "webhooks")
			hideEventHooks(webhooks)
		}
	}
}

// leadsToRepository reports whether the address of a type of Provider is that of a Git repository, whose path is no credential.
func leadsToRepository(provider string) bool {
	forges := []string{"git", "bitbucket", "azuredevops"}
	return slices.ContainsFunc(forges, func(forge string) bool { return strings.HasPrefix(provider, forge) })
}

func hideEventHooks(webhooks any) {
	list, _ := webhooks.([]any)
	for _, item := range list {
		webhook, _ := item.(map[string]any)
		if address, ok := webhook["url"].(string); ok && webhook["type"] == "event" {
			webhook["url"] = behindHost(address)
		}
	}
}

// everyText replaces all texts in a value of JSON, but for keys.
func everyText(value any, replace func(string) string) {
	replaced := func(item any) any {
		if text, ok := item.(string); ok {
			return replace(text)
		}
		everyText(item, replace)
		return item
	}
	switch value := value.(type) {
	case map[string]any:
		for key, item := range value {
			value[key] = replaced(item)
		}
	case []any:
		for i, item := range value {
			value[i] = replaced(item)
		}
	}
}

// hideInURLs hides the user and the password of URLs in a text, and the values of the query of one that is all of it.
func hideInURLs(text string) string {
	text = userinfo.ReplaceAllStringFunc(text, func(found string) string {
		scheme, user, _ := strings.Cut(found, "://")
		if strings.HasSuffix(scheme, "ssh") && !strings.Contains(user, ":") {
			return found // a name, which proves nothing: the key is in a Secret
		}
		return scheme + "://" + Hidden + "@"
	})
	before, query, found := strings.Cut(text, "?")
	if u, err := url.Parse(before); !found || err != nil || u.Host == "" || strings.ContainsAny(text, " \t\r\n") {
		return text
	}
	query, fragment, hasFragment := strings.Cut(query, "#")
	pairs := strings.Split(query, "&")
	for i, pair := range pairs {
		if name, _, ok := strings.Cut(pair, "="); ok {
			pairs[i] = name + "=" + Hidden
		} else if pair != "" {
			pairs[i] = Hidden
		}
	}
	text = before + "?" + strings.Join(pairs, "&")
	if hasFragment {
		text += "#" + fragment
	}
	return text
}

// behindHost is an address of which only the scheme and the host are left; of one without both, such as the connection string of a
// queue, nothing is.
func behindHost(address string) string {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Scheme == "" || u.Host == "":
		return Hidden
	case u.User == nil && strings.Trim(u.Path, "/") == "" && u.RawQuery == "" && u.Fragment == "":
		return address
	}
	return u.Scheme + "://" + u.Host + "/" + Hidden
}
