package pki

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func written(t *testing.T, requests ...Request) (string, *x509.CertPool) {
	t.Helper()
	directory := t.TempDir()
	if err := Write(directory, requests, now); err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(filepath.Join(directory, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatal("ca.crt holds no certificate")
	}
	return directory, pool
}

func leaf(t *testing.T, directory, name string) *x509.Certificate {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(directory, name+".crt"), filepath.Join(directory, name+".key"))
	if err != nil {
		t.Fatal(err)
	}
	return pair.Leaf
}

func TestAClientIsKnownByNameAndGroup(t *testing.T) {
	directory, pool := written(t, Request{Name: "admin", CommonName: "admin", Organizations: []string{"system:masters"}})
	certificate := leaf(t, directory, "admin")
	if certificate.Subject.CommonName != "admin" || certificate.Subject.Organization[0] != "system:masters" {
		t.Errorf("subject is %v", certificate.Subject)
	}
	if _, err := certificate.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Error(err)
	}
	if _, err := certificate.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}); err == nil {
		t.Error("a client's certificate passes for a server's")
	}
}

func TestAServerIsKnownByItsHostsOnly(t *testing.T) {
	directory, pool := written(t, Request{Name: "api", CommonName: "api", Hosts: []string{"localhost", "127.0.0.1"}})
	certificate := leaf(t, directory, "api")
	for host, known := range map[string]bool{"localhost": true, "127.0.0.1": true, "127.0.0.2": false, "example.com": false} {
		_, err := certificate.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: now, DNSName: host})
		if (err == nil) != known {
			t.Errorf("%s: known should be %v, got %v", host, known, err)
		}
	}
}

func TestKeysAreReadableByTheirOwnerOnly(t *testing.T) {
	directory, _ := written(t, Request{Name: "admin", CommonName: "admin"})
	for _, name := range []string{"ca.key", "admin.key", "sa.key"} {
		file, err := os.Stat(filepath.Join(directory, name))
		if err != nil {
			t.Fatal(err)
		}
		if file.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, file.Mode().Perm())
		}
	}
}
