// Package pki writes the keys and certificates of a throw-away cluster: one authority, one key pair for each name it is
// given, and the key that signs service account tokens. The keys protect a cluster that only its own machine can
// reach; nothing here is fit for anything longer lived.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Request asks for NAME.crt and NAME.key. With hosts it is a server's certificate, without a client's.
type Request struct {
	Name          string   `json:"name"`
	CommonName    string   `json:"commonName"`
	Organizations []string `json:"organizations"`
	Hosts         []string `json:"hosts"`
}

const lifetime = 10 * 365 * 24 * time.Hour

// Main reads a JSON list of requests and writes into the one directory it is given.
func Main(arguments []string, input io.Reader) error {
	if len(arguments) != 1 {
		return errors.New("usage: kube pki DIRECTORY <REQUESTS.json")
	}
	var requests []Request
	if err := json.NewDecoder(input).Decode(&requests); err != nil {
		return fmt.Errorf("list of requests: %w", err)
	}
	return Write(arguments[0], requests, time.Now())
}

// Write makes a new authority each time: certificates of an earlier call are not valid under it.
func Write(directory string, requests []Request, now time.Time) error {
	authorityKey, err := newKey()
	if err != nil {
		return err
	}
	authority := template(pkix.Name{CommonName: "dataimporter-test-cluster"}, now)
	authority.IsCA = true
	authority.BasicConstraintsValid = true
	authority.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature
	if err := writePair(directory, "ca", authority, authority, authorityKey, authorityKey); err != nil {
		return err
	}
	for _, request := range requests {
		key, err := newKey()
		if err != nil {
			return err
		}
		if err := writePair(directory, request.Name, request.template(now), authority, key, authorityKey); err != nil {
			return err
		}
	}
	return writeTokenKey(directory)
}

func (r Request) template(now time.Time) *x509.Certificate {
	certificate := template(pkix.Name{CommonName: r.CommonName, Organization: r.Organizations}, now)
	certificate.KeyUsage = x509.KeyUsageDigitalSignature
	certificate.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	for _, host := range r.Hosts {
		certificate.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		if address := net.ParseIP(host); address != nil {
			certificate.IPAddresses = append(certificate.IPAddresses, address)
		} else {
			certificate.DNSNames = append(certificate.DNSNames, host)
		}
	}
	return certificate
}

func template(subject pkix.Name, now time.Time) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	return &x509.Certificate{SerialNumber: serial, Subject: subject, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(lifetime)}
}

func newKey() (*ecdsa.PrivateKey, error) {
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

func writePair(directory, name string, certificate, issuer *x509.Certificate, key, issuerKey *ecdsa.PrivateKey) error {
	der, err := x509.CreateCertificate(rand.Reader, certificate, issuer, &key.PublicKey, issuerKey)
	if err != nil {
		return fmt.Errorf("certificate %s: %w", name, err)
	}
	if err := writePEM(filepath.Join(directory, name+".crt"), "CERTIFICATE", der, 0o644); err != nil {
		return err
	}
	return writeKey(filepath.Join(directory, name+".key"), key)
}

// writeTokenKey writes the pair that signs and checks service account tokens: kube-apiserver wants the halves apart.
func writeTokenKey(directory string) error {
	key, err := newKey()
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return err
	}
	if err := writePEM(filepath.Join(directory, "sa.pub"), "PUBLIC KEY", public, 0o644); err != nil {
		return err
	}
	return writeKey(filepath.Join(directory, "sa.key"), key)
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(path, "PRIVATE KEY", der, 0o600)
}

func writePEM(path, kind string, der []byte, mode os.FileMode) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode)
}
