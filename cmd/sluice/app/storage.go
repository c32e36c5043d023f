// SPDX-License-Identifier: Apache-2.0

package app

import (
	"fmt"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/sluice-cd/sluice/internal/disk"
)

// storageLimit is how much mirrors and artifacts may take of the disk.
type storageLimit struct{ quantity string }

const defaultStorageLimit = "10Gi"

func (l *storageLimit) register(set *pflag.FlagSet) {
	set.StringVar(&l.quantity, "storage-limit", defaultStorageLimit, "most that Git mirrors and artifacts "+
		"take of --storage-path together, as a quantity such as 20Gi; one namespace may use half; 0 is no limit")
}

func (l *storageLimit) validate() error {
	if q, err := resource.ParseQuantity(l.quantity); err != nil || q.Value() < 0 {
		return fmt.Errorf("--storage-limit: %q is no quantity of bytes such as 20Gi", l.quantity)
	}
	return nil
}

// space is nil without a limit.
func (l *storageLimit) space() *disk.Space {
	q, err := resource.ParseQuantity(l.quantity)
	if err != nil || q.Value() == 0 {
		return nil
	}
	return disk.New(q.Value())
}
