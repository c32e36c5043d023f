// SPDX-License-Identifier: Apache-2.0

// Package outbound makes the connections that leave the cluster for where a user's
// object points: registries, Git servers, metric providers, webhooks, and the
// proxies in between. It is the one place to audit them: test/arch lets nobody else put
// together a client, a transport, or a policy for redirects.
//
//	Guard       where connections may go
//	Transports  which certificates and proxies they have, as a Secret says
//	Redirects   where a server may redirect a client
//	Limits      how much of an answer is read
//	RetryAfter  how long a server asks to be left alone
//
// The controller stands where its users do not: beside the node's services, behind
// the network policies of its own namespace, next to the metadata service of the
// cloud. A URL in somebody's object must not be a way to those (server-side request
// forgery, CWE-918). A [Guard] therefore looks at the address that is really dialed,
// after names were resolved and redirects followed, so that no name that resolves
// to 127.0.0.1 now and to something else when it is checked gets by:
//
//	URL -> [CheckURL: addresses in URLs] -> name resolution -> [dial: every address] -> server
//	                                    '-> [CheckProxied: what the name resolves to here] -> proxy -> server
//
// Refused are loopback, link-local, unspecified and multicast addresses and the
// metadata services of clouds; addresses in private networks are not, since that is
// where clusters keep their registries. --allow-addresses lets more through.
//
// Who uses which policy for redirects, how much of an answer is read, and why (test/arch
// compares the first two columns with the code):
//
//	apply/decrypt             Return              1 MiB               key services: what authenticates would go along
//	apply/remote              AnyServer           16 MiB              files that kustomizations refer to: nothing authenticates
//	canary/metric             AnyServer           by its measurement  its path may be another server's; keys stay behind
//	canary/metric             Return              by its measurement  metrics of the API server: its transport adds a token to all
//	cmd/sluice/app            AnyServer           1 MiB               the provider of --ui-oidc-issuer-url, which the operator names
//	internal/bucket           Refuse              32 MiB              what is sent authenticates; objects are read to their size
//	internal/git              Reads               2 GiB               a greeting may be sent on; what asks and pushes goes where it was
//	internal/git/credential   Return              1 MiB               GitHub Apps: the assertion goes nowhere else
//	internal/kubeconfig       Refuse              16 MiB              the credentials are for that API server
//	internal/registry         Within              manifests: 8 MiB    lists and manifests behind another registry, blobs in a store
//	internal/signature        AnyServer           8 MiB               revocations and the public root: nothing authenticates
//	internal/webhook          SameServer          64 KiB, itself      a message arrives where it was meant, or not at all
//	notify                    Within              1 MiB               keys of an issuer of tokens: within its site, by https
//	notify/dispatch           Refuse              by the library      a token for a key of Google's: the assertion goes nowhere else
//	promotion/forge           SameServer          8 MiB, itself       a repository that was renamed
//	scan                      registry.Redirects  by tags             as registries
//	source                    AnyServer           by its size         artifacts, which have a digest
//
// The guard is beneath all of these but the provider of --ui-oidc-issuer-url, the public root
// of signatures and what flags name, which are [Unguarded]. go-containerregistry, minio and
// client-go make their clients themselves: they get a transport that checks redirects
// ([Redirects.Check]) or refuses them, and bounds answers ([Bound]). Git over SSH and NATS dial through
// the guard and bound what they read. Not from here are the connections to the API server of
// this cluster, and those by which the libraries of clouds get tokens for their identities:
// package identity says where those tokens go, and [Guard.ReachProxy] looks at the proxies.
package outbound
