// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAMergePatchTurnsOneStatusIntoTheOther(t *testing.T) {
	for name, tc := range map[string]struct{ was, is, want string }{
		"what is the same is not sent":          {`{"a":1,"b":{"c":[1]}}`, `{"a":1,"b":{"c":[1]}}`, `{}`},
		"what is gone becomes null":             {`{"a":1,"b":2}`, `{"b":2}`, `{"a":null}`},
		"what is new is sent":                   {`{"a":1}`, `{"a":1,"b":{"c":"d"}}`, `{"b":{"c":"d"}}`},
		"of an object only the difference is":   {`{"a":{"b":1,"c":2}}`, `{"a":{"b":1,"c":3}}`, `{"a":{"c":3}}`},
		"a list is sent whole":                  {`{"a":[1,2]}`, `{"a":[1,3]}`, `{"a":[1,3]}`},
		"an object may take a value's place":    {`{"a":1}`, `{"a":{"b":1}}`, `{"a":{"b":1}}`},
		"a value may take an object's place":    {`{"a":{"b":1}}`, `{"a":1}`, `{"a":1}`},
		"the first status is sent as it is":     {`null`, `{"a":{"b":1}}`, `{"a":{"b":1}}`},
		"an object that lost all of it is left": {`{"a":{"b":1}}`, `{"a":{}}`, `{"a":{"b":null}}`},
	} {
		t.Run(name, func(t *testing.T) {
			var was, is, want map[string]any
			for into, text := range map[*map[string]any]string{&was: tc.was, &is: tc.is, &want: tc.want} {
				if err := json.Unmarshal([]byte(text), into); err != nil {
					t.Fatal(err)
				}
			}
			got := mergeDiff(was, is)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
