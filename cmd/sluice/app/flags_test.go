// SPDX-License-Identifier: Apache-2.0

package app

import (
	"errors"
	"strings"
	"testing"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/sluice-cd/sluice/canary/provider"
)

func TestFlagsAreRefusedBeforeAnythingStarts(t *testing.T) {
	tests := map[string]struct {
		args []string
		want string // part of the error; empty is none
	}{
		"the defaults are valid": {nil, ""},
		"some groups":            {[]string{"--controllers", "image,canary"}, ""},
		"a group that does not exist": {
			[]string{"--controllers", "image,helm"},
			`unknown group "helm"; known: image, source, kustomize, canary, promotion, notification`,
		},
		"no group at all":                 {[]string{"--controllers", ""}, "name at least one of image"},
		"a concurrency that does no work": {[]string{"--concurrent", "0"}, "--concurrent: must be at least 1"},
		"a log level that does not exist": {[]string{"--log-level", "loud"}, "--log-level"},
		"a log level without messages":    {[]string{"--log-level", "warn"}, `--log-level: unknown level "warn"; known: debug, info, error`},
		"a router that does not exist":    {[]string{"--mesh-provider", "istoi"}, `--mesh-provider: unknown provider "istoi"; known: `},
		"a router that no spec may name": {
			[]string{"--mesh-provider", "partition"},
			`--mesh-provider: unknown provider "partition"; known: ` + strings.Join(provider.Nameable(), ", "),
		},
		"a Prometheus without a scheme":        {[]string{"--metrics-server", "prometheus:9090"}, "--metrics-server: must be a URL"},
		"a Prometheus with a blank":            {[]string{"--metrics-server", "http://prometheus :9090"}, "--metrics-server: must be a URL"},
		"a webhook that is no URL":             {[]string{"--event-webhook", "hook"}, "--event-webhook (EVENT_WEBHOOK_URL): must be a URL"},
		"a proxy of SOCKS":                     {[]string{"--slack-proxy-url", "socks5://127.0.0.1:1080"}, ""},
		"a service account with its namespace": {[]string{"--default-service-account", "apps/deployer"}, "--default-service-account: "},
		"every field manager":                  {[]string{"--override-manager", "k9s,"}, `--override-manager: "" is the beginning of`},
		"its own field manager":                {[]string{"--override-manager", "kustomize"}, `--override-manager: "kustomize" is the`},
		"a field manager":                      {[]string{"--override-manager", "node-fetch"}, ""},
		"a namespace that can be none":         {[]string{"--namespace", "a b"}, "--namespace: "},
		"a log encoding that does not exist":   {[]string{"--log-encoding", "xml"}, "--log-encoding: must be json or console"},
		"labels that cannot be read":           {[]string{"--watch-label-selector", "a=b=c"}, "--watch-label-selector"},
		"labels of Secrets that cannot be read": {
			[]string{"--watch-configs-label-selector", "a=b=c"}, "--watch-configs-label-selector",
		},
		"the labels of Secrets that Flux has by default": {
			[]string{"--watch-configs-label-selector=reconcile.fluxcd.io/watch=Enabled", "--feature-gates=DisableConfigWatchers=false"}, "",
		},
		"kinds to apply early": {[]string{"--custom-apply-stage-kinds=rbac.authorization.k8s.io/Role, ConfigMap"}, ""},
		"kinds to apply early, with a version": {
			[]string{"--custom-apply-stage-kinds=rbac.authorization.k8s.io/v1/Role"}, "/v1/Role is no group/Kind: leave the version out",
		},
		"what Flux's source-controller may have": {[]string{
			"--artifact-retention-ttl=60s", "--artifact-retention-records=5", "--artifact-digest-algo=sha512", "--requeue-dependency=5s",
			"--interval-jitter-percentage=10", "--helm-cache-max-size=10", "--helm-cache-ttl=60m", "--helm-cache-purge-interval=5m",
		}, ""},
		"what Flux's kustomize-controller may have": {[]string{
			"--concurrent-ssa=8", "--http-retry=3", "--no-remote-bases=true", "--insecure-kubeconfig-exec", "--requeue-dependency", "10s",
		}, ""},
		"what Flux's notification-controller may have": {[]string{"--rate-limit-interval=1m", "--export-http-path-metrics"}, ""},
		"a jitter of all": {
			[]string{"--interval-jitter-percentage=100"}, "--interval-jitter-percentage: must be less than 100",
		},
		"no artifact at all": {
			[]string{"--artifact-retention-records=0"}, "--artifact-retention-records: must be from 1 to 1000",
		},
		"artifacts of the future":             {[]string{"--artifact-retention-ttl=-1s"}, "--artifact-retention-ttl: must not be negative"},
		"a digest that others can make":       {[]string{"--artifact-digest-algo=sha1"}, "--artifact-digest-algo: must be one of [sha256"},
		"a limit without an interval":         {[]string{"--rate-limit-interval=0s"}, "--rate-limit-interval: must be positive"},
		"strict substitution, turned off":     {[]string{"--feature-gates=StrictPostBuildSubstitutions=false"}, ""},
		"gates of Flux's that change nothing": {[]string{"--feature-gates=ExternalArtifact=true,DirectSourceFetch=false"}, ""},
		"a gate that is neither true nor false": {
			[]string{"--feature-gates=GroupChangeLog=maybe"}, `GroupChangeLog is true or false, not "maybe"`,
		},
		"a gate that nobody knows": {
			[]string{"--feature-gates=MigrateAPIVersion=true"}, `--feature-gates: unknown feature "MigrateAPIVersion"; known: Additive`,
		},
		"retries that get faster": {
			[]string{"--min-retry-delay", "1m", "--max-retry-delay", "1s"},
			"--min-retry-delay must be positive and at most --max-retry-delay",
		},
		"a lease that ends before its renewal": {
			[]string{"--leader-election-lease-duration", "10s"},
			"--leader-election-lease-duration must be longer than --leader-election-renew-deadline",
		},
		"a storage limit that is no number": {[]string{"--storage-limit", "much"}, "--storage-limit"},
		"a range that is none":              {[]string{"--allow-addresses", "localhost"}, "--allow-addresses"},
		"a minimum interval of nothing":     {[]string{"--canary-min-interval", "0s"}, "--canary-min-interval: must be positive"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var f flags
			set := pflag.NewFlagSet("controller", pflag.ContinueOnError)
			f.register(set)
			if err := set.Parse(tc.args); err != nil {
				t.Fatal(err)
			}
			err := f.validate()
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestWhichSecretsAreWatched(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"all":                      {nil, ""},
		"those with a label":       {[]string{"--watch-configs-label-selector", "owner!=helm"}, "owner!=helm"},
		"none, though with labels": {[]string{"--watch-configs-label-selector", "a", "--feature-gates", "DisableConfigWatchers=true"}, "none"},
	} {
		var f flags
		set := pflag.NewFlagSet("controller", pflag.ContinueOnError)
		f.register(set)
		if err := errors.Join(set.Parse(tc.args), f.validate()); err != nil {
			t.Fatal(err)
		}
		configs := f.options(nil).Configs
		got := configs.String()
		if _, any := configs.Requirements(); !any {
			got = "none"
		}
		if got != tc.want {
			t.Errorf("%s: %q are watched, want %q", name, got, tc.want)
		}
	}
}

func TestOnlyTheNamedGroupsAreServed(t *testing.T) {
	f := flags{controllers: []string{"image", "canary"}}
	for group, want := range map[string]bool{"image": true, "canary": true, "source": false, "kustomize": false} {
		if f.serves(group) != want {
			t.Errorf("%s: got %v", group, !want)
		}
	}
}

// A Deployment of Flux's keeps its arguments: what its gates would have changed is said.
func TestFeatureGatesThatChangeNothingAreLogged(t *testing.T) {
	f := identityFlags{gates: map[string]string{"GroupChangeLog": "true", "ExternalArtifact": "false", strictSubstitutions: "false"}}
	var logged []string
	f.logFixedFeatures(funcr.New(func(_, line string) { logged = append(logged, line) }, funcr.Options{}))
	want := []string{
		`"level"=0 "msg"="this feature gate changes nothing here" "gate"="ExternalArtifact" "value"="false" ` +
			`"always"="ExternalArtifacts are sources like any other"`,
		`"level"=0 "msg"="this feature gate changes nothing here" "gate"="GroupChangeLog" "value"="true" ` +
			`"always"="what a reconcile changed is told in one event"`,
	}
	if diff := cmp.Diff(want, logged); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
	if f.enabled(strictSubstitutions) || !(&identityFlags{}).enabled(strictSubstitutions) {
		t.Error("strict substitution is on by default, and can be turned off")
	}
}

// A Deployment of Flux's did not start with its arguments, although some of them have nothing to do here.
func TestFlagsThatChangeNothingAreLogged(t *testing.T) {
	var f flags
	set := pflag.NewFlagSet("controller", pflag.ContinueOnError)
	f.register(set)
	if err := set.Parse([]string{"--requeue-dependency=5s", "--export-http-path-metrics", "--interval-jitter-percentage=7"}); err != nil {
		t.Fatal(err)
	}
	var logged []string
	f.flux.logFixed(funcr.New(func(_, line string) { logged = append(logged, line) }, funcr.Options{}))
	want := []string{
		`"level"=0 "msg"="this flag changes nothing here" "flag"="--export-http-path-metrics" "value"="true" ` +
			`"always"="paths of requests are no labels of metrics"`,
		`"level"=0 "msg"="this flag changes nothing here" "flag"="--requeue-dependency" "value"="5s" ` +
			`"always"="what depends on others is started by their change"`,
	}
	if diff := cmp.Diff(want, logged); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
	if f.flux.part() != 0.07 {
		t.Errorf("the jitter is %v", f.flux.part())
	}
}
