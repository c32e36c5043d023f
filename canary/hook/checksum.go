// SPDX-License-Identifier: Apache-2.0

package hook

import (
	"fmt"
	"hash/fnv"

	"k8s.io/apimachinery/pkg/util/rand"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// checksum identifies what is being released, for webhooks that tell releases
// apart by it. It is the very value that Flagger computes from the same status: a
// 32-bit FNV-1a of a dump of these two fields, in digits that spell no words.
func checksum(c *flaggerv1.Canary) string {
	configs := "<nil>"
	if c.Status.TrackedConfigs != nil {
		configs = fmt.Sprint(c.Status.TrackedConfigs) // sorted by key
	}
	hash := fnv.New32a()
	_, _ = fmt.Fprintf(hash, "(struct { TrackedConfigs *map[string]string; LastAppliedSpec string })"+
		"{TrackedConfigs:(*map[string]string)%s LastAppliedSpec:(string)%s}", configs, c.Status.LastAppliedSpec)
	return rand.SafeEncodeString(fmt.Sprint(hash.Sum32()))
}
