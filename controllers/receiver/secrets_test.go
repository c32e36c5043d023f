// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"testing"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"

	"github.com/sluice-cd/sluice/test/references"
)

func TestEverySecretThatASpecNamesIsWatched(t *testing.T) {
	references.Watched(t, func() (*notificationv1.Receiver, any) {
		obj := &notificationv1.Receiver{}
		return obj, &obj.Spec
	}, secretsOf)
}
