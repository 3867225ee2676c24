package clientport

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"
)

// Encrypted private keys as openssl pkcs8 writes them: PKCS #8 with PBES2 of PKCS #5 (RFC 8018),
// PBKDF2 and AES in CBC mode.

type encryptedKey struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

type pbes2 struct {
	KDF, Cipher pkix.AlgorithmIdentifier
}

type pbkdf2Params struct {
	Salt       []byte
	Iterations int
	KeyLength  int                      `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
}

// maxIterations bounds what a file can make us compute; openssl's default is 2048.
const maxIterations = 1_000_000

func decryptKey(der []byte, password string) ([]byte, error) {
	var (
		key    encryptedKey
		scheme pbes2
		kdf    pbkdf2Params
		iv     []byte
	)
	if _, err := asn1.Unmarshal(der, &key); err != nil {
		return nil, err
	}
	if oid := key.Algorithm.Algorithm.String(); oid != "1.2.840.113549.1.5.13" {
		return nil, fmt.Errorf("algorithm %s is not PBES2", oid)
	}
	if _, err := asn1.Unmarshal(key.Algorithm.Parameters.FullBytes, &scheme); err != nil {
		return nil, err
	}
	if _, err := asn1.Unmarshal(scheme.KDF.Parameters.FullBytes, &kdf); err != nil {
		return nil, err
	}
	if _, err := asn1.Unmarshal(scheme.Cipher.Parameters.FullBytes, &iv); err != nil {
		return nil, err
	}
	size, ok := map[string]int{"2.16.840.1.101.3.4.1.2": 16, "2.16.840.1.101.3.4.1.22": 24, "2.16.840.1.101.3.4.1.42": 32}[scheme.Cipher.Algorithm.String()]
	if !ok {
		return nil, fmt.Errorf("cipher %v is not AES-CBC", scheme.Cipher.Algorithm)
	}
	prf := map[string]func() hash.Hash{"": sha1.New, "1.2.840.113549.2.7": sha1.New, "1.2.840.113549.2.9": sha256.New,
		"1.2.840.113549.2.10": sha512.New384, "1.2.840.113549.2.11": sha512.New}[kdf.PRF.Algorithm.String()]
	if oid := scheme.KDF.Algorithm.String(); oid != "1.2.840.113549.1.5.12" || prf == nil || kdf.Iterations < 1 || kdf.Iterations > maxIterations {
		return nil, fmt.Errorf("key derivation %s (%v, %d rounds) is not supported", oid, kdf.PRF.Algorithm, kdf.Iterations)
	}
	secret, err := pbkdf2.Key(prf, password, kdf.Salt, kdf.Iterations, size)
	if err != nil {
		return nil, err
	}
	return decryptCBC(secret, iv, key.Data)
}

func decryptCBC(secret, iv, data []byte) ([]byte, error) {
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	if len(iv) != aes.BlockSize || len(data) == 0 || len(data)%aes.BlockSize != 0 {
		return nil, errors.New("cut short")
	}
	out := make([]byte, len(data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(out, data)
	pad := int(out[len(out)-1])
	if pad < 1 || pad > aes.BlockSize {
		return nil, errors.New("wrong password")
	}
	return out[:len(out)-pad], nil
}
