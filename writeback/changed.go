// SPDX-License-Identifier: Apache-2.0

package writeback

import (
	"cmp"
	"maps"
	"slices"

	"github.com/sluice-cd/sluice/writeback/edit"
)

// ObjectChanges are the changes made to objects.
type ObjectChanges map[edit.Object][]edit.Change

// Changed is what a commit changes, as commit message templates see it. All of
// it is ordered: by file, then object, then line.
type Changed struct {
	FileChanges map[string]ObjectChanges
}

func (c *Changed) add(file string, o edit.MarkerResult) {
	if c.FileChanges == nil {
		c.FileChanges = map[string]ObjectChanges{}
	}
	if c.FileChanges[file] == nil {
		c.FileChanges[file] = ObjectChanges{}
	}
	c.FileChanges[file][o.Object] = append(c.FileChanges[file][o.Object], o.Change())
}

// Files are the paths of the changed files, sorted.
func (c Changed) Files() []string { return slices.Sorted(maps.Keys(c.FileChanges)) }

// Changes are all changes, each once however many fields it was made to.
func (c Changed) Changes() []edit.Change {
	var changes []edit.Change
	seen := map[edit.Change]bool{}
	for _, file := range c.Files() {
		objects := c.FileChanges[file]
		for _, object := range slices.SortedFunc(maps.Keys(objects), compareObjects) {
			for _, change := range objects[object] {
				if !seen[change] {
					seen[change] = true
					changes = append(changes, change)
				}
			}
		}
	}
	return changes
}

// policies are the names of the policies that make the changes, sorted.
func (c Changed) policies() []string {
	policies := map[string]bool{}
	for _, change := range c.Changes() {
		if setter, err := edit.ParseSetter(change.Setter); err == nil {
			policies[setter.Policy] = true
		}
	}
	return slices.Sorted(maps.Keys(policies))
}

// Objects are the changes by object, whatever file the object is in.
func (c Changed) Objects() ObjectChanges {
	objects := ObjectChanges{}
	for _, file := range c.Files() {
		for object, changes := range c.FileChanges[file] {
			objects[object] = append(objects[object], changes...)
		}
	}
	return objects
}

// compareObjects is the order in which templates range over objects.
func compareObjects(a, b edit.Object) int {
	return cmp.Or(cmp.Compare(a.APIVersion, b.APIVersion), cmp.Compare(a.Kind, b.Kind),
		cmp.Compare(a.Name, b.Name), cmp.Compare(a.Namespace, b.Namespace))
}

// merge adds the changes of another part of the same commit.
func (c *Changed) merge(other Changed) {
	for file, objects := range other.FileChanges {
		if c.FileChanges == nil {
			c.FileChanges = map[string]ObjectChanges{}
		}
		c.FileChanges[file] = objects
	}
}
