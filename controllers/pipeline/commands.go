// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"fmt"
	"maps"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion"
)

// commandsOf are the commands in annotations, and what is wrong with those that cannot be
// read.
func commandsOf(object client.Object) (commands []promotion.Command, unreadable []string) {
	annotations := object.GetAnnotations()
	for _, name := range slices.Sorted(maps.Keys(annotations)) {
		verb, stage, ok := sluicev1.ParseCommandAnnotation(name)
		if !ok {
			continue
		}
		c, err := sluicev1.ParseCommand(annotations[name])
		if err != nil {
			unreadable = append(unreadable, fmt.Sprintf("annotation %s is ignored: %s", name, err))
			continue
		}
		commands = append(commands, promotion.Command{Verb: verb, Stage: stage, Command: c})
	}
	return commands, unreadable
}
