// SPDX-License-Identifier: Apache-2.0

package source

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

func TestWhatIsKeptOfASourceGoesWithIt(t *testing.T) {
	var kept Latest[string]
	one, other := types.NamespacedName{Namespace: "apps", Name: "one"}, types.NamespacedName{Namespace: "apps", Name: "other"}
	if kept.Delete(one); kept.Get(one) != "" || kept.Len() != 0 {
		t.Errorf("of nothing %q is kept", kept.Get(one))
	}
	kept.Put(one, "first")
	kept.Put(one, "second")
	kept.Put(other, "third")
	if kept.Get(one) != "second" || kept.Get(other) != "third" || kept.Len() != 2 {
		t.Errorf("kept are %q and %q of %d", kept.Get(one), kept.Get(other), kept.Len())
	}
	if kept.Delete(one); kept.Get(one) != "" || kept.Get(other) != "third" || kept.Len() != 1 {
		t.Errorf("kept are %q and %q of %d", kept.Get(one), kept.Get(other), kept.Len())
	}
}

func TestAnotherContentOfASecretHasAnotherVersion(t *testing.T) {
	secret := &corev1.Secret{Data: map[string][]byte{"key": []byte("1")}}
	secret.Namespace, secret.Name, secret.UID = "apps", "keys", "a"
	c := fake.NewClientBuilder().WithObjects(secret).Build()
	version := func() string {
		t.Helper()
		got, err := SecretVersion(t.Context(), c, client.ObjectKeyFromObject(secret))
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	seen := map[string]bool{version(): true}
	if seen[version()] = true; len(seen) != 1 {
		t.Errorf("one content has several versions: %v", seen)
	}
	secret.Data["key"] = []byte("2")
	if err := c.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	seen[version()] = true
	if err := c.Delete(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	if seen[version()] = true; len(seen) != 3 {
		t.Errorf("three contents, one of them none, have the versions %v", seen)
	}
}
