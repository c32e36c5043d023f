// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"strings"
	"testing"

	generatorv1 "github.com/fluxcd/source-watcher/api/v2/v1beta1"
)

// A file of two megabytes stood for 300 gigabytes once it was merged.
func TestAFileThatStandsForMuchMoreIsNotMerged(t *testing.T) {
	for name, tc := range map[string]struct{ overlay, says string }{
		"a long text that is named often": {
			"a: &a " + strings.Repeat("x", 100_000) + "\nlist: [" + strings.Repeat("*a,", 1000) + "]\n", "with aliases written out"},
		"lists of lists": {
			"a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n" +
				"d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n", "with aliases written out"},
		"many documents of them": {
			strings.Repeat("---\na: &a "+strings.Repeat("x", 10_000)+"\nb: ["+strings.Repeat("*a,", 90)+"]\n", 10), "with aliases written out"},
		"too many values":               {"a: [" + strings.Repeat("1,", 120_000) + "]\n", "with aliases written out"},
		"an alias within what it names": {"a: &a [*a]\n", "contains itself"},
	} {
		t.Run(name, func(t *testing.T) {
			if merged, err := merge([]byte("a: 1\n"), []byte(tc.overlay)); err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %d bytes, %v", len(merged), err)
			}
		})
	}
	merged, err := merge([]byte("a: 1\n"), []byte("b: &b {c: 2}\nd: *b\n"))
	if want := "a: 1\nb:\n  c: 2\nd:\n  c: 2\n"; err != nil || string(merged) != want {
		t.Errorf("a few aliases: got %q, %v", merged, err)
	}
}

// What one artifact took was not counted against the next one, of which a generator may have a thousand.
func TestAllArtifactsOfAGeneratorShareItsWork(t *testing.T) {
	work := &Work{}
	if err := work.do(maxWork); err != nil {
		t.Fatal(err)
	}
	sources := map[string]*Listing{"s": listing(fleet)}
	_, err := Build([]generatorv1.CopyOperation{from("@s/run.sh", "@artifact/")}, sources, memory{}, work)
	if err == nil || !strings.Contains(err.Error(), "takes too long") {
		t.Errorf("got %v", err)
	}
}

func TestAnArtifactHasNoMoreDirectoriesThanFiles(t *testing.T) {
	s := staging{files: Files{}, dirs: map[string]bool{}}
	var err error
	for i := 0; i <= MaxFiles/1000 && err == nil; i++ {
		err = s.put(strings.Repeat(string(rune('a'+i%26))+"/", 1+i/26)+strings.Repeat("d/", 1900)+"f", File{})
	}
	if err == nil || !strings.Contains(err.Error(), "directories") {
		t.Errorf("got %v with %d directories", err, len(s.dirs))
	}
}
