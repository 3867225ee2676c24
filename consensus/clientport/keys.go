package clientport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// keys are the certificates in use. A connection takes what is current when it shakes hands.
type keys struct {
	cfg     TLS
	current atomic.Pointer[tls.Config]

	mu    sync.Mutex // of who loads
	files string     // what was loaded last, good or not: names, sizes, times
}

func loadKeys(cfg TLS) (*keys, error) {
	k := &keys{cfg: cfg}
	return k, k.reload()
}

func (k *keys) config() *tls.Config { return k.current.Load() }

// watchEvery is how often the files are looked at.
const watchEvery = 2 * time.Second

// watch loads the files when they have changed. Certificate and key change one after the other, so that
// a pair that does not fit is one to wait for.
func (k *keys) watch(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		k.mu.Lock()
		same := k.files == k.cfg.fingerprint()
		k.mu.Unlock()
		if same {
			continue
		}
		if err := k.reload(); err != nil {
			log.Warn("certificates changed but not taken", "error", err)
			continue
		}
		log.Info("certificates loaded", "expires", k.config().Certificates[0].Leaf.NotAfter)
	}
}

func (k *keys) reload() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.files = k.cfg.fingerprint()
	c, err := k.cfg.load()
	if err != nil {
		return fmt.Errorf("clientport: load certificates: %w", err)
	}
	k.current.Store(c)
	return nil
}

// fingerprint changes when a file does, or the file a name leads to.
func (t TLS) fingerprint() string {
	var b strings.Builder
	for _, name := range []string{t.Certificate, t.Key, t.KeyStore, t.KeyStorePasswordFile, t.TrustStore, t.TrustStorePasswordFile, t.CA} {
		if name == "" {
			continue
		}
		info, err := os.Stat(name)
		if err != nil {
			fmt.Fprintln(&b, name, err)
			continue
		}
		fmt.Fprintln(&b, name, info.Size(), info.ModTime().UnixNano())
	}
	return b.String()
}

// load reads the files. Each result has keys of its own for the tickets that resume sessions, so that a
// client trusted by the files before is looked at again.
func (t TLS) load() (*tls.Config, error) {
	own, err := t.own()
	if err != nil {
		return nil, err
	}
	c := &tls.Config{Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS12}
	if err := t.restrict(c); err != nil {
		return nil, err
	}
	switch strings.ToLower(t.ClientAuth) {
	case "", "need":
		c.ClientAuth = tls.RequireAndVerifyClientCert
	case "want":
		c.ClientAuth = tls.VerifyClientCertIfGiven
	case "none":
		return c, nil
	default:
		return nil, fmt.Errorf("client authentication %q: want need, want or none", t.ClientAuth)
	}
	trusted, err := t.trusted()
	if err != nil {
		return nil, err
	}
	if len(trusted) == 0 {
		return nil, errors.New("no authorities to verify clients with")
	}
	c.ClientCAs = x509.NewCertPool()
	for _, cert := range trusted {
		c.ClientCAs.AddCert(cert)
	}
	return c, nil
}

// own is the certificate the server shows.
func (t TLS) own() (tls.Certificate, error) {
	password, err := t.password(t.KeyStorePassword, t.KeyStorePasswordFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	if t.Certificate == "" {
		if t.KeyStore == "" {
			return tls.Certificate{}, errors.New("no certificate and no key store")
		}
		return readKeyStore(t.KeyStore, t.KeyStoreType, password)
	}
	chain, err := os.ReadFile(t.Certificate)
	if err != nil {
		return tls.Certificate{}, err
	}
	key := chain
	if t.Key != "" {
		if key, err = os.ReadFile(t.Key); err != nil {
			return tls.Certificate{}, err
		}
	}
	c, err := pairPEM(chain, key, password)
	return c, wrap(t.Certificate, err)
}

// trusted are the authorities of clients.
func (t TLS) trusted() (out []*x509.Certificate, err error) {
	if t.CA != "" {
		if out, err = readTrustStore(t.CA, "PEM", ""); err != nil {
			return nil, err
		}
	}
	if t.TrustStore == "" {
		return out, nil
	}
	password, err := t.password(t.TrustStorePassword, t.TrustStorePasswordFile)
	if err != nil {
		return nil, err
	}
	more, err := readTrustStore(t.TrustStore, t.TrustStoreType, password)
	return append(out, more...), err
}

func (t TLS) password(password, file string) (string, error) {
	if file == "" {
		return password, nil
	}
	b, err := os.ReadFile(file)
	return strings.TrimSpace(string(b)), err
}

// versions by what is left of a name without "TLS", "v", dots and blanks.
var versions = map[string]uint16{"1": tls.VersionTLS10, "10": tls.VersionTLS10, "11": tls.VersionTLS11, "12": tls.VersionTLS12, "13": tls.VersionTLS13}

// restrict takes Protocols and Ciphers over. Suites of TLS 1.3 cannot be chosen, nor those that Go does
// not have; a list of which nothing is left is a mistake.
func (t TLS) restrict(c *tls.Config) error {
	for i, name := range t.Protocols {
		v, ok := versions[strings.NewReplacer("tls", "", "v", "", ".", "", " ", "").Replace(strings.ToLower(name))]
		if !ok {
			return fmt.Errorf("protocol %q: want TLSv1 to TLSv1.3", name)
		}
		if i == 0 {
			c.MinVersion, c.MaxVersion = v, v
		}
		c.MinVersion, c.MaxVersion = min(c.MinVersion, v), max(c.MaxVersion, v)
	}
	known := slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites())
	usable := len(t.Ciphers) == 0
	for _, name := range t.Ciphers {
		i := slices.IndexFunc(known, func(s *tls.CipherSuite) bool { return s.Name == name })
		if i < 0 {
			continue
		}
		usable = true
		if !slices.Equal(known[i].SupportedVersions, []uint16{tls.VersionTLS13}) {
			c.CipherSuites = append(c.CipherSuites, known[i].ID)
		}
	}
	if !usable {
		return fmt.Errorf("none of the ciphers %s is supported", strings.Join(t.Ciphers, ", "))
	}
	return nil
}
