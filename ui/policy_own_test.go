// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"encoding/json"
	"net/url"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
)

// The pattern of a policy stood nowhere on its page: who tried another one began with a made-up one.
func TestThePatternOfAPolicyIsToldWhateverIsTried(t *testing.T) {
	cluster := furnished(t)
	var p imagev1.ImagePolicy
	if err := cluster.client.Get(t.Context(), client.ObjectKey{Namespace: "apps", Name: "app"}, &p); err != nil {
		t.Fatal(err)
	}
	p.Spec.FilterTags = &imagev1.TagFilter{Pattern: "^v(.*)$", Extract: "$1"}
	if err := cluster.client.Update(t.Context(), &p); err != nil {
		t.Fatal(err)
	}
	s, err := NewServer(Options{Cluster: cluster, Token: "secret", Clock: clock.RealClock{}, Log: logr.Discard(),
		Tags: func(context.Context, client.Client, *imagev1.ImageRepository) (Tags, error) {
			return Tags{Names: []string{"v1.0.0", "2.0.0"}}, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	close(s.ready)
	for _, query := range []url.Values{{}, {"kind": {"semver"}}, {"pattern": {""}}, {"pattern": {"^x(.*)"}, "extract": {"$1"}}} {
		w := try(t.Context(), s, query)
		var got PolicyDetail
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.Pattern != "^v(.*)$" || got.Extract != "$1" || got.Total != 2 {
			t.Errorf("%v: %d %q %q (%v) %.300s", query, w.Code, got.Pattern, got.Extract, err, w.Body)
		}
	}
}
