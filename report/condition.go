// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"

	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// readyOf is the status of the condition Ready, Unknown before a controller has set
// one, and its message.
func readyOf(conditions []metav1.Condition) (status, message string) {
	ready := apimeta.FindStatusCondition(conditions, meta.ReadyCondition)
	if ready == nil {
		return string(metav1.ConditionUnknown), ""
	}
	return string(ready.Status), ready.Message
}

// Short abbreviates a commit or the hexadecimal part of a digest, as Git does.
func Short(hash string) string { return fmt.Sprintf("%.7s", hash) }
