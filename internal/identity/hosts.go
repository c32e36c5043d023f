// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
)

// Service is what a provider is asked for.
type Service string

// The services that an identity is used for.
const (
	Registry Service = "registry"
	Git      Service = "git"
	Metrics  Service = "metrics"
	// Storage is the service of buckets, and Tokens the one that lends credentials which expire.
	Storage Service = "storage"
	Tokens  Service = "tokens"
	Keys    Service = "keys"
	// Events is the service that takes messages: hubs and topics.
	Events Service = "events"
)

// The providers, as spec.provider spells them.
const (
	aws   = "aws"
	azure = "azure"
	gcp   = "gcp"
)

// names are what providers are called in messages.
var names = map[string]string{aws: "AWS", azure: "Azure", gcp: "Google Cloud"}

// serviceHosts are the hosts of one service.
type serviceHosts struct {
	pattern *regexp.Regexp
	said    string // for messages
}

// Parts of the names of AWS. Each partition has a domain of its own; "api.aws" and
// "on.aws" are those of dual-stack endpoints. A region is one label, so that no
// name of a customer's load balancer, bucket or function fits.
const (
	region     = `[a-z]{2,}(?:-[a-z]+)+-[0-9]+`
	partitions = `(?:amazonaws\.com|amazonaws\.com\.cn|amazonaws\.eu|sc2s\.sgov\.gov|c2s\.ic\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov)`
)

// hosts are the providers' own, by service. Sovereign clouds are in it. Of a domain
// that customers get names in, only what the provider itself serves is.
var hosts = map[string]map[Service]serviceHosts{
	aws: {
		Registry: {anchored(`public\.ecr\.aws`,
			`[0-9]+\.dkr\.ecr(?:-fips)?\.`+region+`\.`+partitions,
			`[0-9]+\.dkr-ecr(?:-fips)?\.`+region+`\.on\.(?:aws|amazonwebservices\.com\.cn|amazonwebservices\.eu)`),
			"<account>.dkr.ecr.<region>.amazonaws.com, public.ecr.aws"},
		Git: {anchored(`git-codecommit(?:-fips)?\.` + region + `\.` + partitions),
			"git-codecommit.<region>.amazonaws.com"},
		Metrics: {anchored(`monitoring(?:-fips)?\.`+region+`\.`+partitions,
			`monitoring(?:-fips)?\.`+region+`\.api\.(?:aws|amazonwebservices\.com\.cn|amazonwebservices\.eu)`,
			// The second label of an endpoint of a customer's own service is vpce-svc-...
			`vpce-[a-z0-9-]+\.monitoring(?:-fips)?\.`+region+`\.vpce\.`+partitions),
			"monitoring.<region>.amazonaws.com, and its VPC endpoints"},
		// A bucket may be the first labels, and is served by S3 itself.
		Storage: {anchored(`(?:[a-z0-9][a-z0-9.-]*\.)?s3\.amazonaws\.com`,
			`(?:[a-z0-9][a-z0-9.-]*\.)?s3(?:-fips)?(?:\.dualstack)?\.`+region+`\.`+partitions,
			`(?:[a-z0-9][a-z0-9.-]*\.)?s3-(?:us|eu|ap|sa)(?:-[a-z]+)+-[0-9]+\.amazonaws\.com`,
			`(?:[a-z0-9][a-z0-9.-]*\.)?bucket\.vpce-[a-z0-9]+-[a-z0-9-]+\.s3\.`+region+`\.vpce\.`+partitions),
			"s3.<region>.amazonaws.com, and its VPC endpoints"},
		Tokens: {anchored(`sts\.amazonaws\.com`, `sts(?:-fips)?\.`+region+`\.`+partitions,
			`sts(?:-fips)?\.`+region+`\.api\.(?:aws|amazonwebservices\.com\.cn|amazonwebservices\.eu)`,
			`vpce-[a-z0-9-]+\.sts\.`+region+`\.vpce\.`+partitions),
			"sts.<region>.amazonaws.com, and its VPC endpoints"},
		Keys: {anchored(`(?:kms|sts)(?:-fips)?\.`+region+`\.`+partitions,
			`(?:kms|sts)(?:-fips)?\.`+region+`\.api\.(?:aws|amazonwebservices\.com\.cn|amazonwebservices\.eu)`),
			"kms.<region>.amazonaws.com"},
	},
	azure: {
		Registry: {anchored(`(?:[a-z0-9-]+\.)+azurecr\.(?:io|cn|de|us)`), "*.azurecr.io"},
		// Names of two labels below visualstudio.com are tunnels to customers' machines.
		Git: {anchored(`dev\.azure\.com`, `[a-z0-9-]+\.visualstudio\.com`), "dev.azure.com, <organization>.visualstudio.com"},
		Storage: {anchored(`[a-z0-9]{3,24}(?:-secondary)?\.blob\.core\.(?:windows\.net|chinacloudapi\.cn|usgovcloudapi\.net)`,
			`[a-z0-9]{3,24}\.z[0-9]{1,2}\.blob\.storage\.azure\.net`),
			"<account>.blob.core.windows.net"},
		Keys: {anchored(`[a-z0-9-]+\.(?:vault|managedhsm)\.(?:azure\.net|azure\.cn|usgovcloudapi\.net|microsoftazure\.de)`),
			"<name>.vault.azure.net, <name>.managedhsm.azure.net"},
		// Azure Relay hands what is sent to names of this domain to machines of customers.
		Events: {anchored(`[a-z0-9-]+\.servicebus\.(?:windows\.net|chinacloudapi\.cn|usgovcloudapi\.net)`),
			"<namespace>.servicebus.windows.net"},
	},
	gcp: {
		Registry: {anchored(`(?:[a-z0-9-]+\.)*gcr\.io`, `[a-z0-9-]+-docker\.pkg\.dev`, `docker\.s3nsregistry\.fr`),
			"gcr.io, *.gcr.io, <location>-docker.pkg.dev"},
		Git: {anchored(`source\.developers\.google\.com`, `[a-z0-9-]+-git\.[a-z0-9-]+(?:\.p)?\.sourcemanager\.dev`),
			"source.developers.google.com, *.sourcemanager.dev"},
		Metrics: {anchored(`monitoring\.googleapis\.com`, `monitoring\.mtls\.googleapis\.com`, `monitoring\.[a-z0-9-]+\.rep\.googleapis\.com`,
			`monitoring-[a-z0-9-]+\.p\.googleapis\.com`, `monitoring\.s3nsapis\.fr`),
			"monitoring.googleapis.com"},
		Storage: {anchored(`storage\.googleapis\.com`, `storage\.mtls\.googleapis\.com`, `storage\.[a-z0-9-]+\.rep\.googleapis\.com`,
			`storage-[a-z0-9-]+\.p\.googleapis\.com`, `storage\.s3nsapis\.fr`),
			"storage.googleapis.com"},
		Events: {anchored(`pubsub\.googleapis\.com`), "pubsub.googleapis.com"},
	},
}

// anchored matches a host that is one of the patterns from end to end.
func anchored(patterns ...string) *regexp.Regexp {
	return regexp.MustCompile(`^(?:` + strings.Join(patterns, "|") + `)$`)
}

// azureStackVariable names the file that describes an Azure of the operator's own,
// as the SDK for it has it.
const azureStackVariable = "AZURE_ENVIRONMENT_FILEPATH"

// ofAzureStack reports whether host is a registry of the Azure that the environment
// of the process describes.
func ofAzureStack(host string) bool {
	path := os.Getenv(azureStackVariable)
	if path == "" {
		return false
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	var environment struct {
		Suffix string `json:"containerRegistryDNSSuffix"`
	}
	if err := json.Unmarshal(data, &environment); err != nil {
		return false
	}
	suffix := strings.ToLower(strings.Trim(environment.Suffix, "."))
	return suffix != "" && strings.HasSuffix(host, "."+suffix)
}
