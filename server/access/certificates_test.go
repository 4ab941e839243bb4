package access_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/usher-pdp/usher/server/access"
	"github.com/usher-pdp/usher/server/access/accesstest"
)

func TestCertificatesThatCannotServeAreRefused(t *testing.T) {
	servers := accesstest.NewAuthority(t, "servers")
	cert, key := servers.Issue(t, "usher.example", "", time.Hour)
	expired, expiredKey := servers.Issue(t, "usher.example", "", -time.Hour)
	otherCert, _ := servers.Issue(t, "other.example", "", time.Hour)
	good := files{cert: "tls.crt", key: "tls.key", clientCA: "ca.crt"}
	for name, test := range map[string]struct {
		cert, key, ca []byte
		spoil         func(t *testing.T, f files)
		want          []string
	}{
		"key of another":           {otherCert, key, nil, nil, []string{good.cert, good.key, "do not belong together"}},
		"expired":                  {expired, expiredKey, nil, nil, []string{good.cert, "has expired, on 20", "renew it"}},
		"no certificate":           {[]byte("hello"), key, nil, nil, []string{good.cert, "no certificate in it"}},
		"key instead of cert":      {key, key, nil, nil, []string{good.cert, "no certificate in it"}},
		"no key":                   {cert, []byte("s3cret"), nil, nil, []string{good.key, "no private key in it"}},
		"cert instead of key":      {cert, cert, nil, nil, []string{good.key, "no private key in it"}},
		"broken key":               {cert, []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), nil, nil, []string{good.key}},
		"broken certificate":       {[]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), key, nil, nil, []string{good.cert}},
		"a request as certificate": {[]byte("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"), key, nil, nil, []string{good.cert, "CERTIFICATE REQUEST"}},
		"empty authorities":        {cert, key, []byte("\n"), nil, []string{good.clientCA, "no certificate in it"}},
		"a leaf as authority":      {cert, key, cert, nil, []string{good.clientCA, "not the certificate of an authority"}},
		"authorities missing": {cert, key, servers.PEM(), func(t *testing.T, f files) { remove(t, f.clientCA) },
			[]string{good.clientCA, "no such file"}},
		"key missing": {cert, key, nil, func(t *testing.T, f files) { remove(t, f.key) }, []string{good.key, "no such file"}},
		"key that everybody may write": {cert, key, nil, func(t *testing.T, f files) {
			if err := os.Chmod(f.key, 0o602); err != nil {
				t.Fatal(err)
			}
		}, []string{good.key, "everybody may write"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := writeFiles(t, test.cert, test.key, test.ca)
			if test.spoil != nil {
				test.spoil(t, f)
			}
			if test.ca == nil {
				f.clientCA = ""
			}
			_, err := access.LoadCertificates(f.cert, f.key, f.clientCA)
			for _, want := range test.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("the error is %v, and doesn't say %q", err, want)
				}
			}
			if err != nil && strings.Contains(err.Error(), "s3cret") {
				t.Errorf("the error tells the key: %v", err)
			}
		})
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func TestCertificateExpiryIsThatOfTheFirst(t *testing.T) {
	servers, clients := accesstest.NewAuthority(t, "servers"), accesstest.NewAuthority(t, "clients")
	cert, key := servers.Issue(t, "usher.example", "", 2*time.Hour)
	f := writeFiles(t, append(cert, servers.PEM()...), key, clients.PEM())
	certificates, err := access.LoadCertificates(f.cert, f.key, f.clientCA)
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(certificates)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		if family.GetName() == "usher_tls_certificate_expiry_timestamp_seconds" {
			for _, m := range family.GetMetric() {
				got[label(m)] = m.GetGauge().GetValue()
			}
		}
	}
	inTwoHours, nearly := float64(time.Now().Add(2*time.Hour).Unix()), 60.0
	if d := got["server"] - inTwoHours; d < -nearly || d > nearly {
		t.Errorf("the server's: %v, want about %v", got["server"], inTwoHours)
	}
	if want := float64(clients.Certificate.NotAfter.Unix()); got["client_ca"] != want {
		t.Errorf("that of the clients' authority: %v, want %v", got["client_ca"], want)
	}
}

func label(m *dto.Metric) string {
	if len(m.GetLabel()) != 1 {
		return fmt.Sprint(m)
	}
	return m.GetLabel()[0].GetValue()
}
