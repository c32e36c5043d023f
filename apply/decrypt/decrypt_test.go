// SPDX-License-Identifier: Apache-2.0

package decrypt

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	pgparmor "github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/getsops/sops/v3/azkv"
	"github.com/getsops/sops/v3/gcpkms"
	"github.com/getsops/sops/v3/hcvault"
	"github.com/getsops/sops/v3/keys"
	"github.com/getsops/sops/v3/kms"
	"github.com/getsops/sops/v3/pgp"
	"github.com/google/go-cmp/cmp"

	"github.com/sluice-cd/sluice/internal/mask"
	"github.com/sluice-cd/sluice/internal/outbound"
	"github.com/sluice-cd/sluice/test/sops"
)

// open is a decrypter with the data of a Secret.
func open(t *testing.T, services *Services, data map[string]string) *Decrypter {
	t.Helper()
	if services == nil {
		services = &Services{Guard: outbound.NewGuard(nil)}
	}
	secret := map[string][]byte{}
	for name, value := range data {
		secret[name] = []byte(value)
	}
	d, err := services.New(t.Context(), secret, AllKeys, Requester{Kind: "Kustomization"})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// The file's name says the format that is wanted, and what is in it the one it has.
func TestFilesOfAllFormatsAreDecrypted(t *testing.T) {
	key := sops.NewAgeKey(t)
	d := open(t, nil, map[string]string{"me.agekey": string(key.Private()), "other.txt": "ignored"})
	tests := map[string]struct {
		sealed, plain string
		as            string // "" is the name it was encrypted under
		want          string // "" is the plain text
	}{
		"YAML":                        {sealed: "a.yaml", plain: "user: admin\nport: 5432\n"},
		"YAML of several documents":   {sealed: "a.yaml", plain: "a: 1\n---\nb: two\n"},
		"JSON":                        {sealed: "a.json", plain: "{\n\t\"big\": 9007199254740993,\n\t\"user\": \"admin\"\n}"},
		"dotenv":                      {sealed: "a.env", plain: "USER=admin\nPASSWORD=hunter2\n"},
		"INI":                         {sealed: "a.ini", plain: "[db]\nuser = admin\n"},
		"anything":                    {sealed: "a.bin", plain: "\x00\x01 \nwhatever"},
		"dotenv under another name":   {sealed: "a.env", plain: "USER=admin\n", as: "credentials"},
		"YAML under another name":     {sealed: "a.yaml", plain: "user: admin\n", as: "values.enc"},
		"anything, called yaml":       {sealed: "a.bin", plain: "hunter2", as: "a.txt"},
		"anything, called dotenv":     {sealed: "a.bin", plain: "hunter2", as: "a.env"},
		"YAML that is wanted as JSON": {sealed: "a.yaml", plain: "user: admin\n", as: "config.json", want: "{\n\t\"user\": \"admin\"\n}"},
		"YAML for an image registry":  {sealed: "a.yaml", plain: "auths: {}\n", as: ".dockerconfigjson", want: "{\n\t\"auths\": {}\n}"},
		"JSON with one field of data": {sealed: "a.json", plain: "{\n\t\"data\": \"x\"\n}"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			as, want := tc.as, tc.want
			if as == "" {
				as = tc.sealed
			}
			if want == "" {
				want = tc.plain
			}
			sealed := key.Encrypt(t, sops.File{Name: tc.sealed, Plain: tc.plain})
			if formatOf(sealed) == "" || formatOf([]byte(tc.plain)) != "" {
				t.Fatalf("not recognised:\n%s", sealed)
			}
			got, err := d.Decrypt(t.Context(), sealed, as)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.TrimSpace(want), strings.TrimSpace(string(got))); diff != "" {
				t.Errorf("decrypted (-want +got):\n%s", diff)
			}
		})
	}
	if got, err := d.Decrypt(t.Context(), []byte("plain"), "a"); err != nil || string(got) != "plain" {
		t.Errorf("what is not encrypted: %s, %v", got, err)
	}
	part := key.Encrypt(t, sops.File{Name: "a.yaml", Regex: "^data$", Plain: "kind: Secret\ndata:\n    a: hunter4\n    b: 12345\n"})
	if _, err := d.Decrypt(t.Context(), part, "a.yaml"); err != nil {
		t.Fatal(err)
	}
	if got := d.Mask().Text("a Secret of 'admin': hunter2 hunter4 12345"); got != "a Secret of '***': *** *** ***" {
		t.Errorf("masked: %s", got)
	}
}

// Values after one that there was no room for were shown in errors.
func TestNoErrorShowsAValueAfterTheBoundOfWhatIsKept(t *testing.T) {
	key := sops.NewAgeKey(t)
	decrypted := func(plain ...string) *Decrypter {
		d := open(t, nil, map[string]string{"me.agekey": string(key.Private())})
		for _, text := range plain {
			if _, err := d.Decrypt(t.Context(), key.Encrypt(t, sops.File{Name: "a.yaml", Plain: text}), "a.yaml"); err != nil {
				t.Fatal(err)
			}
		}
		return d
	}
	large := "large: " + strings.Repeat("x", maxValues+1) + "\n"
	refused := errors.New(`spec.password: Invalid value: "hunter2"`)
	d := decrypted(large, "password: hunter2\n")
	if got := d.Mask().Error(refused).Error(); got != mask.Withheld {
		t.Errorf("after a value that is too long: %s", got)
	}
	if !d.values["hunter2"] || d.size != len("hunter2") {
		t.Errorf("a value that is too long takes the room of others: %d bytes", d.size)
	}
	half := "half: " + strings.Repeat("x", maxValues/2+1) + "\n"
	if got := decrypted(half, half, "password: hunter2\n").Mask().Error(refused).Error(); got != `spec.password: Invalid value: "***"` {
		t.Errorf("with one value twice: %s", got)
	}
	if decrypted().Mask() != nil {
		t.Error("without values something is masked")
	}
}

// pgpKey is a new key pair, and the private key as gpg exports it.
func pgpKey(t *testing.T) (*openpgp.Entity, string) {
	t.Helper()
	entity, err := openpgp.NewEntity("test", "", "test@example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	armored, err := pgparmor.Encode(&out, openpgp.PrivateKeyType, nil)
	if err == nil {
		err = entity.SerializePrivate(armored, nil)
	}
	if err == nil {
		err = armored.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return entity, out.String()
}

// publicOf is the public key of a pair, armored.
func publicOf(t *testing.T, entity *openpgp.Entity) string {
	t.Helper()
	var out bytes.Buffer
	armored, err := pgparmor.Encode(&out, openpgp.PublicKeyType, nil)
	if err == nil {
		err = entity.Serialize(armored)
	}
	if err == nil {
		err = armored.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// The library reads the first block of a file, and the others were dropped without a word; a public key
// beside the private one kept all from being used.
func TestEveryPGPKeyOfASecretDecrypts(t *testing.T) {
	first, private := pgpKey(t)
	second, appended := pgpKey(t)
	dataKey := sops.DataKey()
	for name, files := range map[string]map[string]string{
		"appended":                      {"sops.asc": private + appended},
		"appended without a line break": {"sops.asc": strings.TrimSpace(private) + "\n" + strings.TrimSpace(appended)},
		"after a public key":            {"sops.asc": publicOf(t, first) + private + "\n" + appended},
		"beside a public key":           {"a.asc": publicOf(t, first), "b.asc": private, "c.asc": appended},
	} {
		for i, entity := range []*openpgp.Entity{first, second} {
			sealed := sops.Encrypt(t, sops.File{Name: "a.yaml", Plain: "k: v\n"}, dataKey, pgpMaster(t, entity, dataKey))
			got, err := open(t, nil, files).Decrypt(t.Context(), sealed, "a.yaml")
			if err != nil || string(got) != "k: v\n" {
				t.Errorf("%s, key %d: got %s, %v", name, i, got, err)
			}
		}
	}
	_, err := readKeys(t.Context(), map[string][]byte{"a.asc": []byte(publicOf(t, first))}, func(string) bool { return true }, nil)
	if !errors.Is(err, ErrKeys) || !strings.Contains(err.Error(), "'a.asc' has no private key") {
		t.Errorf("a public key alone: %v", err)
	}
	// Beside a key of another kind it does no harm.
	beside := map[string][]byte{"a.asc": []byte(publicOf(t, first)), "sops.vault-token": []byte("token")}
	if _, err := readKeys(t.Context(), beside, func(string) bool { return true }, nil); err != nil {
		t.Errorf("a public key beside a token of Vault: %v", err)
	}
	// Whoever keeps notes below a key had it refused.
	noted := map[string][]byte{"a.asc": []byte(publicOf(t, first) + "\nkept by eve\n"), "sops.vault-token": []byte("token")}
	if _, err := readKeys(t.Context(), noted, func(string) bool { return true }, nil); err != nil {
		t.Errorf("a key with a note below it: %v", err)
	}
}

func pgpMaster(t *testing.T, entity *openpgp.Entity, dataKey []byte) keys.MasterKey {
	t.Helper()
	var out bytes.Buffer
	armored, err := pgparmor.Encode(&out, "PGP MESSAGE", nil)
	if err != nil {
		t.Fatal(err)
	}
	in, err := openpgp.Encrypt(armored, []*openpgp.Entity{entity}, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = in.Write(dataKey)
	_, _ = in.Close(), armored.Close()
	return &pgp.MasterKey{Fingerprint: fmt.Sprintf("%X", entity.PrimaryKey.Fingerprint), EncryptedKey: out.String()}
}

func TestPGPNeedsNoBinary(t *testing.T) {
	t.Setenv("PATH", "")
	entity, private := pgpKey(t)
	dataKey := sops.DataKey()
	sealed := sops.Encrypt(t, sops.File{Name: "a.yaml", Plain: "k: v\n"}, dataKey, pgpMaster(t, entity, dataKey))
	got, err := open(t, nil, map[string]string{"team.asc": private}).Decrypt(t.Context(), sealed, "a.yaml")
	if err != nil || string(got) != "k: v\n" {
		t.Errorf("got %s, %v", got, err)
	}
	_, other := pgpKey(t)
	_, err = open(t, nil, map[string]string{"team.asc": other}).Decrypt(t.Context(), sealed, "a.yaml")
	if err == nil || !strings.Contains(err.Error(), "none of the PGP keys fits") {
		t.Errorf("got %v", err)
	}
}

// cloudServer answers for all key services: it knows one data key.
func cloudServer(t *testing.T, dataKey []byte) (*Services, *[]*http.Request) {
	t.Helper()
	var seen []*http.Request
	encoded := base64.StdEncoding.EncodeToString(dataKey)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r)
		body, _ := io.ReadAll(r.Body)
		answer := map[string]any{}
		switch host := r.Header.Get("X-Host"); {
		case strings.HasPrefix(host, "vault.") && r.URL.Path == "/v1/ns1/auth/kubernetes/login":
			var login struct{ Role, JWT string }
			claims := strings.Split(string(body), ".")
			if json.Unmarshal(body, &login) != nil || login.Role != "apps_sops" || len(claims) != 3 || r.Header.Get("X-Vault-Token") != "" {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			if text, _ := base64.RawURLEncoding.DecodeString(claims[1]); !bytes.Contains(text, []byte(`"aud":"http://vault.example.com:8200"`)) {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			answer["auth"] = map[string]string{"client_token": "s.token"}
		case strings.HasPrefix(host, "vault."):
			if r.URL.Path != "/v1/sops/decrypt/first" || r.Header.Get("X-Vault-Token") != "s.token" || !bytes.Contains(body,
				[]byte("vault:v1:abc")) {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			answer["data"] = map[string]string{"plaintext": encoded}
		case strings.HasPrefix(host, "kms."):
			if !strings.Contains(r.Header.Get("Authorization"), "AKIATEST") {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			w.Header().Set("Content-Type", "application/x-amz-json-1.1")
			answer["Plaintext"] = encoded
		case strings.HasPrefix(host, "login."):
			answer = map[string]any{
				"access_token": "azure", "expires_in": 3600, "token_type": "Bearer",
				"issuer": "https://login.microsoftonline.com/tenant/v2.0", "authorization_endpoint": "https://login.microsoftonline.com/tenant/a",
				"token_endpoint":            "https://login.microsoftonline.com/tenant/t",
				"tenant_discovery_endpoint": "https://login.microsoftonline.com/tenant/d",
			}
		case strings.HasSuffix(host, ".vault.azure.net"):
			if r.Header.Get("Authorization") == "" {
				w.Header().Set("WWW-Authenticate", `Bearer authorization="https://login.microsoftonline.com/tenant", `+
					`resource="https://vault.azure.net"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			answer["value"] = base64.RawURLEncoding.EncodeToString(dataKey)
		case host == "oauth2.googleapis.com":
			w.Header().Set("Content-Type", "application/json")
			answer = map[string]any{"access_token": "google", "expires_in": 3600, "token_type": "Bearer"}
		case host == "cloudkms.googleapis.com":
			if r.Header.Get("Authorization") != "Bearer google" {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			answer["plaintext"] = encoded
		default:
			w.WriteHeader(http.StatusNotFound)
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(server.Close)
	next := server.Client().Transport
	return &Services{Guard: outbound.NewGuard(nil), Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		r = r.Clone(r.Context())
		r.Header.Set("X-Host", r.URL.Host)
		r.URL.Host = strings.TrimPrefix(server.URL, "https://")
		r.URL.Scheme = "https"
		return next.RoundTrip(r)
	})}, &seen
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

const (
	awsSecret   = "aws_access_key_id: AKIATEST\naws_secret_access_key: secret\n"
	azureSecret = `{"tenantId": "tenant", "clientId": "client", "clientSecret": "secret"}`
)

func gcpSecret(t *testing.T) string {
	t.Helper()
	return `{"type": "authorized_user", "client_id": "id", "client_secret": "secret", "refresh_token": "refresh"}`
}

func masters() map[string]keys.MasterKey {
	vault := hcvault.NewMasterKey("http://vault.example.com:8200", "sops", "first")
	vault.EncryptedKey = "vault:v1:abc"
	amazon := kms.NewMasterKey("arn:aws:kms:eu-west-1:123456789012:key/abc-def", "", nil)
	amazon.EncryptedKey = base64.StdEncoding.EncodeToString([]byte("sealed"))
	azure := azkv.NewMasterKey("https://team.vault.azure.net", "key", "1")
	azure.EncryptedKey = base64.RawURLEncoding.EncodeToString([]byte("sealed"))
	google := gcpkms.NewMasterKeyFromResourceID("projects/p/locations/l/keyRings/r/cryptoKeys/k")
	google.EncryptedKey = base64.StdEncoding.EncodeToString([]byte("sealed"))
	return map[string]keys.MasterKey{vaultToken: vault, awsCredentials: amazon, azureCredentials: azure, gcpCredentials: google}
}

func TestKeyServicesAreAskedWithTheSecretsCredentials(t *testing.T) {
	for name, master := range masters() {
		t.Run(name, func(t *testing.T) {
			dataKey := sops.DataKey()
			services, seen := cloudServer(t, dataKey)
			sealed := sops.Encrypt(t, sops.File{Name: "a.yaml", Plain: "k: v\n"}, dataKey, master)
			d := open(t, services, map[string]string{name: secrets(t)[name]})
			for range 2 { // the second time the data key is known
				got, err := d.Decrypt(t.Context(), sealed, "a.yaml")
				if err != nil || string(got) != "k: v\n" {
					t.Fatalf("got %s, %v", got, err)
				}
			}
			if name != azureCredentials && len(*seen) > 2 {
				t.Errorf("asked %d times", len(*seen))
			}
		})
	}
}

func TestWhatAKeyServiceRefusesIsToldByItsStatusAlone(t *testing.T) {
	dataKey := sops.DataKey()
	services, _ := cloudServer(t, dataKey)
	sealed := sops.Encrypt(t, sops.File{Name: "a.yaml", Plain: "k: v\n"}, dataKey, masters()[vaultToken])
	_, err := open(t, services, map[string]string{vaultToken: "s.hunter2"}).Decrypt(t.Context(), sealed, "a.yaml")
	if !errors.Is(err, ErrDecrypt) || !strings.Contains(err.Error(), "it answers 403 Forbidden") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}

func TestTheControllersIdentityGoesWhereAFileSaysOnlyWithinItsCloud(t *testing.T) {
	elsewhere := azkv.NewMasterKey("https://vault.evil.example", "key", "1")
	elsewhere.EncryptedKey = "c2VhbGVk"
	plain := azkv.NewMasterKey("http://team.vault.azure.net", "key", "1")
	plain.EncryptedKey = "c2VhbGVk"
	region := kms.NewMasterKey("arn:aws:kms:evil.example/:123456789012:key/abc", "", nil)
	region.EncryptedKey = "c2VhbGVk"
	for name, tc := range map[string]struct {
		master keys.MasterKey
		want   string
	}{
		"a vault of somebody else": {elsewhere, "goes to hosts of Azure only"},
		"a vault without TLS":      {plain, "goes over https only"},
		"a region that is a host":  {region, "its ARN is none of a key in a region of AWS"},
	} {
		t.Run(name, func(t *testing.T) {
			dataKey := sops.DataKey()
			services, seen := cloudServer(t, dataKey)
			sealed := sops.Encrypt(t, sops.File{Name: "a.yaml", Plain: "k: v\n"}, dataKey, tc.master)
			_, err := open(t, services, nil).Decrypt(t.Context(), sealed, "a.yaml")
			if err == nil || !strings.Contains(err.Error(), tc.want) || len(*seen) > 0 {
				t.Errorf("got %v, after %d requests", err, len(*seen))
			}
		})
	}
}

func TestAVaultMayNotBeAnywhere(t *testing.T) {
	for _, address := range []string{"http://127.0.0.1:8200", "http://169.254.169.254", "file:///etc/passwd", "http://user@vault"} {
		master := hcvault.NewMasterKey(address, "sops", "first")
		master.EncryptedKey = "x"
		sealed := sops.Encrypt(t, sops.File{Name: "a.yaml", Plain: "k: v\n"}, sops.DataKey(), master)
		_, err := open(t, nil, map[string]string{vaultToken: "t"}).Decrypt(t.Context(), sealed, "a.yaml")
		if err == nil || !strings.Contains(err.Error(), "forbidden address") && !strings.Contains(err.Error(), "no http or https URL") {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestNoValueIsQuoted(t *testing.T) {
	key := sops.NewAgeKey(t)
	d := open(t, nil, map[string]string{"me.agekey": string(key.Private())})
	sealed := string(key.Encrypt(t, sops.File{Name: "a.yaml", Plain: "user: hunter2\npassword: hunter3\n"}))
	at := strings.Index(sealed, "ENC[")
	for name, text := range map[string]string{
		"a value that was replaced": sealed[:at] + "hunter2 # " + sealed[at:],
		"a value that was changed":  strings.Replace(sealed, "data:", "data:AAAA", 1),
		"metadata that is cut":      sealed[:strings.Index(sealed, "lastmodified")] + "    mac: ENC[AES256_GCM,data:a,iv:b,tag:c,type:str]\n",
		"a file of no keys": "a: b\nsops:\n    mac: ENC[AES256_GCM,data:a,iv:b,tag:c,type:str]\n    lastmodified: " +
			"\"2026-01-01T00:00:00Z\"\n    version: 3.9.0\n",
		"a file beyond all measure": sealed + "# " + strings.Repeat("x", MaxFile),
	} {
		_, err := d.Decrypt(t.Context(), []byte(text), "a.yaml")
		if !errors.Is(err, ErrDecrypt) || strings.Contains(err.Error(), "hunter") || len(err.Error()) > 1000 {
			t.Errorf("%s: %.300v", name, err)
		}
	}
	other := open(t, nil, map[string]string{"me.agekey": string(sops.NewAgeKey(t).Private())})
	if _, err := other.Decrypt(t.Context(), []byte(sealed), "a.yaml"); err == nil || !strings.Contains(err.Error(),
		"none of the age keys fits") {
		t.Errorf("another key: %v", err)
	}
	if _, err := open(t, nil, nil).Decrypt(t.Context(), []byte(sealed), "a.yaml"); err == nil || !strings.Contains(err.Error(),
		"there is no key *.agekey") {
		t.Errorf("no key: %v", err)
	}
}

func TestKeysThatCannotBeUsed(t *testing.T) {
	services := &Services{}
	for name, tc := range map[string]struct{ key, value, want string }{
		"no age key":               {"a.agekey", "hunter2", "key 'a.agekey' has no age identities"},
		"a plugin of age":          {"a.agekey", "AGE-PLUGIN-YUBIKEY-1QQPQZRAZSTP", "has no age identities"},
		"no PGP key":               {"a.asc", "hunter2", "is no armored PGP key"},
		"no credentials of AWS":    {awsCredentials, "hunter2", "needs aws_access_key_id"},
		"no credentials of Azure":  {azureCredentials, "clientSecret: hunter2", "needs tenantId"},
		"no credentials of Google": {gcpCredentials, "hunter2", "is no JSON"},
		"credentials that run things": {gcpCredentials, `{"type": "external_account", "credential_source": {"executable": {"command": ` +
			`"hunter2"}}}`, `is of type "external_account"`},
	} {
		_, err := services.New(t.Context(), map[string][]byte{tc.key: []byte(tc.value)}, AllKeys, Requester{})
		if !errors.Is(err, ErrKeys) || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
	d, err := services.New(t.Context(), map[string][]byte{awsCredentials: []byte("hunter2"), vaultToken: []byte("t")}, AgeKeys, Requester{})
	if err != nil || d.keys.vault != "" {
		t.Errorf("of a Secret for all, only age keys count: %v", err)
	}
}

func TestNoKeyServiceLeadsElsewhere(t *testing.T) {
	asked := 0
	services := Services{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
		asked++
		return &http.Response{StatusCode: http.StatusFound, Header: http.Header{"Location": {"https://evil.example/"}}, Body: http.NoBody}, nil
	})}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://vault.example/v1/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := services.httpClient().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusFound || asked != 1 {
		t.Errorf("%d requests, the last answered %d", asked, resp.StatusCode)
	}
}
