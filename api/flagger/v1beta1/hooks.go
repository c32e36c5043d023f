// SPDX-License-Identifier: Apache-2.0

package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// HookType says when a webhook is called, and what its answer decides.
//
// +kubebuilder:validation:Enum="";confirm-rollout;pre-rollout;rollout;confirm-promotion;post-rollout;event;rollback;confirm-traffic-increase
type HookType string

const (
	// RolloutHook is called by each check; a failure fails the check.
	RolloutHook HookType = "rollout"
	// PreRolloutHook is called before the canary gets traffic; a failure fails
	// the check.
	PreRolloutHook HookType = "pre-rollout"
	// PostRolloutHook is called when the release has succeeded or failed.
	PostRolloutHook HookType = "post-rollout"
	// ConfirmRolloutHook holds the release before it starts.
	ConfirmRolloutHook HookType = "confirm-rollout"
	// ConfirmPromotionHook holds the release before the promotion.
	ConfirmPromotionHook HookType = "confirm-promotion"
	// ConfirmTrafficIncreaseHook holds the release before each step.
	ConfirmTrafficIncreaseHook HookType = "confirm-traffic-increase"
	// EventHook is told every event.
	EventHook HookType = "event"
	// RollbackHook rolls the release back when it succeeds.
	RollbackHook HookType = "rollback"
)

// CanaryWebhook is an address that takes part in the analysis. It is sent a
// [CanaryWebhookPayload]; any status up to 202 is a success.
type CanaryWebhook struct {
	// Type of the webhook. Defaults to rollout.
	// +optional
	Type HookType `json:"type"`

	// Name of the webhook.
	// +required
	Name string `json:"name"`

	// URL to send to.
	// +required
	URL string `json:"url"`

	// MuteAlert sends no alerts about this webhook.
	// +optional
	MuteAlert bool `json:"muteAlert"`

	// Timeout of the request. Defaults to 10s.
	// +kubebuilder:validation:Pattern=`^[0-9]+(m|s)`
	// +optional
	Timeout string `json:"timeout,omitempty"`

	// Metadata to send along.
	// +optional
	Metadata map[string]string `json:"metadata,omitzero"`

	// Retries of a failed request.
	// +optional
	Retries int `json:"retries,omitempty"`

	// DisableTLS accepts any certificate.
	// +optional
	DisableTLS bool `json:"disableTLS,omitempty"`
}

// MaxWebhookStatuses is the length of status.webhooks.
const MaxWebhookStatuses = 30

// CanaryWebhookStatus is what one webhook of the analysis answered. Sluice extension.
type CanaryWebhookStatus struct {
	// Type of the webhook.
	// +required
	Type HookType `json:"type"`

	// Name of the webhook.
	// +required
	Name string `json:"name"`

	// Last is its last answer.
	// +required
	Last CanaryWebhookAnswer `json:"last"`

	// LastFailure is its last answer that was no success, if the last one is.
	// +optional
	LastFailure *CanaryWebhookAnswer `json:"lastFailure,omitempty"`
}

// CanaryWebhookAnswer is an answer of a webhook, or that there was none.
type CanaryWebhookAnswer struct {
	// Succeeded means that the answer was a status up to 202: the webhook agrees. To a
	// webhook of the type rollback that is: roll back.
	// +optional
	Succeeded bool `json:"succeeded"`

	// Since is when it answered so first; equal answers after it change nothing.
	// +required
	Since metav1.Time `json:"since"`

	// StatusCode is the HTTP status of an answer that is no success; absent if there was
	// no answer.
	// +optional
	StatusCode int `json:"statusCode,omitempty"`

	// Message says why it is no success, without secrets: the answer is repeated only if
	// the server is a Service of the Canary's namespace.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Message string `json:"message,omitempty"`
}

// CanaryWebhookPayload is the body of a request to a webhook.
type CanaryWebhookPayload struct {
	// Name of the Canary.
	Name string `json:"name"`

	// Namespace of the Canary.
	Namespace string `json:"namespace"`

	// Phase of the Canary.
	Phase CanaryPhase `json:"phase"`

	// Checksum identifies the version that is being released.
	Checksum string `json:"checksum"`

	// Metadata of the webhook.
	Metadata map[string]string `json:"metadata,omitempty"`
}

// AlertSeverity is how bad the news must be to be sent.
//
// +kubebuilder:validation:Enum="";info;warn;error
type AlertSeverity string

const (
	// SeverityInfo sends everything.
	SeverityInfo AlertSeverity = "info"
	// SeverityWarn sends warnings and errors.
	SeverityWarn AlertSeverity = "warn"
	// SeverityError sends errors.
	SeverityError AlertSeverity = "error"
)

// CanaryAlert sends news of a Canary to an AlertProvider.
type CanaryAlert struct {
	// Name of the alert.
	// +required
	Name string `json:"name"`

	// Severity to send from. Defaults to info.
	// +optional
	Severity AlertSeverity `json:"severity,omitempty"`

	// ProviderRef names the AlertProvider.
	// +required
	ProviderRef CrossNamespaceObjectReference `json:"providerRef"`
}
