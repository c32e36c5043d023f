// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"strings"
	"testing"

	"github.com/sluice-cd/sluice/promotion/forge"
)

func TestALongDescriptionIsComparedAsForgesKeepIt(t *testing.T) {
	kept := forge.Status{Description: strings.Repeat("x", 141)}.Shortened()
	if len(kept.Description) != 140 || kept.Shortened() != kept {
		t.Errorf("kept %q", kept.Description)
	}
}
