// SPDX-License-Identifier: Apache-2.0

package v1beta1

// HTTPMatchRequest matches requests. All fields that are set must match. The
// shape is that of Istio's VirtualService.
type HTTPMatchRequest struct {
	// Name of the match, for logs.
	// +optional
	Name string `json:"name,omitempty"`

	// URI of the request, without the query.
	// +optional
	URI *StringMatch `json:"uri,omitempty"`

	// Scheme of the request.
	// +optional
	Scheme *StringMatch `json:"scheme,omitempty"`

	// Method of the request.
	// +optional
	Method *StringMatch `json:"method,omitempty"`

	// Authority is the host that was asked for.
	// +optional
	Authority *StringMatch `json:"authority,omitempty"`

	// Headers of the request, by lower-case name.
	// +optional
	Headers map[string]StringMatch `json:"headers,omitempty"`

	// Port that the request came to.
	// +optional
	Port uint32 `json:"port,omitempty"`

	// SourceLabels are labels of the calling workload.
	// +optional
	SourceLabels map[string]string `json:"sourceLabels,omitempty"`

	// Gateways that the match is limited to.
	// +optional
	Gateways []string `json:"gateways,omitempty"`

	// QueryParams are parameters of the query.
	// +optional
	QueryParams map[string]StringMatch `json:"queryParams,omitempty"`

	// IgnoreURICase makes exact and prefix matches of the URI ignore case.
	// +optional
	IgnoreURICase bool `json:"ignoreUriCase,omitempty"`

	// WithoutHeaders are headers that the request must not have.
	// +optional
	WithoutHeaders map[string]StringMatch `json:"withoutHeaders,omitempty"`

	// SourceNamespace is the namespace of the calling workload.
	// +optional
	SourceNamespace string `json:"sourceNamespace,omitempty"`
}

// StringMatch matches a text in one of four ways.
//
// +kubebuilder:validation:MaxProperties=1
type StringMatch struct {
	// Exact is the whole text.
	// +optional
	Exact string `json:"exact,omitempty"`

	// Prefix is what the text begins with.
	// +optional
	Prefix string `json:"prefix,omitempty"`

	// Suffix is what the text ends with.
	// +optional
	Suffix string `json:"suffix,omitempty"`

	// Regex is a regular expression that matches the whole text.
	// +optional
	Regex string `json:"regex,omitempty"`
}

// HTTPRewrite changes requests on their way.
type HTTPRewrite struct {
	// URI replaces the path, or the prefix of it that matched.
	// +optional
	URI string `json:"uri,omitempty"`

	// Authority replaces the host.
	// +optional
	Authority string `json:"authority,omitempty"`

	// Type of path rewrite: `ReplacePrefixMatch`, else the full path.
	// +optional
	Type string `json:"type,omitempty"`
}

// HTTPRetry says how failed requests are tried again.
type HTTPRetry struct {
	// Attempts is how many times.
	// +optional
	Attempts int `json:"attempts"`

	// PerTryTimeout of one try.
	// +optional
	PerTryTimeout string `json:"perTryTimeout,omitempty"`

	// RetryOn lists the conditions to try again on, separated by commas.
	// +optional
	RetryOn string `json:"retryOn,omitempty"`
}

// Headers changes the headers of requests and of responses.
type Headers struct {
	// Request headers, before the request is forwarded.
	// +optional
	Request *HeaderOperations `json:"request,omitempty"`

	// Response headers, before the response is returned.
	// +optional
	Response *HeaderOperations `json:"response,omitempty"`
}

// HeaderOperations changes headers.
type HeaderOperations struct {
	// Set overwrites.
	// +optional
	Set map[string]string `json:"set,omitempty"`

	// Add appends to the values there are.
	// +optional
	Add map[string]string `json:"add,omitempty"`

	// Remove deletes.
	// +optional
	Remove []string `json:"remove,omitempty"`
}

// CorsPolicy is a cross-origin policy.
type CorsPolicy struct {
	// AllowOrigin lists allowed origins. Older form of allowOrigins.
	// +optional
	AllowOrigin []string `json:"allowOrigin,omitempty"`

	// AllowOrigins matches allowed origins.
	// +optional
	AllowOrigins []*StringMatch `json:"allowOrigins,omitempty"`

	// AllowMethods lists allowed methods.
	// +optional
	AllowMethods []string `json:"allowMethods,omitempty"`

	// AllowHeaders lists allowed request headers.
	// +optional
	AllowHeaders []string `json:"allowHeaders,omitempty"`

	// ExposeHeaders lists response headers that scripts may read.
	// +optional
	ExposeHeaders []string `json:"exposeHeaders,omitempty"`

	// MaxAge is how long a browser may remember the answer.
	// +optional
	MaxAge string `json:"maxAge,omitempty"`

	// AllowCredentials allows requests with credentials.
	// +optional
	AllowCredentials bool `json:"allowCredentials,omitempty"`
}
