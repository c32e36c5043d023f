// SPDX-License-Identifier: Apache-2.0

package report

// TreeNode is an object, and what hangs below it.
type TreeNode struct {
	// Group of the object's kind; left out for Kubernetes' own first kinds, and for stages.
	Group string `json:"group,omitempty"`
	ObjectReference
	// Note says where it stands, in a few words.
	Note string `json:"note,omitempty"`
	// Below are the objects that hang below it.
	Below []TreeNode `json:"below,omitempty"`
}
