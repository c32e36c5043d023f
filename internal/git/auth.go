package git

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// AuthFromSecret reads the Secret of a GitRepository: `username` and `password`,
// or `bearerToken`, and `ca.crt` (formerly `caFile`). Keys of other transports,
// such as `identity` of SSH, are left to them; a client certificate is refused,
// for a server that asks for one would refuse us in less clear words.
func AuthFromSecret(secret *corev1.Secret) (Auth, error) {
	value := func(key string) string { return string(secret.Data[key]) }
	name := secret.Namespace + "/" + secret.Name
	for _, key := range []string{"tls.crt", "tls.key", "certFile", "keyFile"} {
		if value(key) != "" {
			return Auth{}, fmt.Errorf("secret %s: client certificates (%s) are not supported", name, key)
		}
	}
	auth := Auth{
		Username: value("username"), Password: value("password"),
		BearerToken: value("bearerToken"), CA: secret.Data["ca.crt"],
	}
	if len(auth.CA) == 0 {
		auth.CA = secret.Data["caFile"]
	}
	if auth.Username == "" && auth.Password != "" {
		return Auth{}, fmt.Errorf("secret %s: 'password' requires 'username' to be set", name)
	}
	return auth, nil
}
