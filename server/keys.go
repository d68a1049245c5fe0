package server

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"
)

// minSecret is the shortest secret that LiveKit takes, in characters.
const minSecret = 32

// sfuKeys is the key and secret of the configuration, both empty if it has
// none. The error is a *fileError.
func (c *Config) sfuKeys() (key string, secret Secret, err error) {
	if c.SFU.KeysFile != "" {
		return readKeysFile(c.SFU.KeysFile)
	}
	if key, err = inline(c.SFU.Key, "sfu.key_file", c.SFU.KeyFile); err != nil {
		return "", "", err
	}
	s, err := inline(string(c.SFU.Secret), "sfu.secret_file", c.SFU.SecretFile)
	return key, Secret(s), err
}

// adminToken is the token of the admin listener. The error is a *fileError.
func (c *Config) adminToken() (Secret, error) {
	s, err := inline(string(c.Admin.Token), "admin.token_file", c.Admin.TokenFile)
	return Secret(s), err
}

// fileError says that the file which a setting names is of no use.
type fileError struct {
	key string
	err error
}

func (e *fileError) Error() string { return e.key + ": " + e.err.Error() }
func (e *fileError) Unwrap() error { return e.err }

// inline is the text itself, or else what the file holds without the white
// space around it.
func inline(text, key, path string) (string, error) {
	if path == "" {
		return text, nil
	}
	data, err := readFile(path)
	if err != nil {
		return "", &fileError{key, err}
	}
	if text = strings.TrimSpace(string(data)); text == "" {
		return "", &fileError{key, fmt.Errorf("%s is empty", path)}
	}
	return text, nil
}

// readKeysFile reads a file with one line "key: secret".
func readKeysFile(path string) (string, Secret, error) {
	data, err := readFile(path)
	if err != nil {
		return "", "", &fileError{"sfu.keys_file", err}
	}
	var pairs map[string]string
	// The decoder's error is left out: it repeats what the file holds.
	if yaml.Unmarshal(data, &pairs) == nil && len(pairs) == 1 {
		for key, secret := range pairs {
			if key != "" && secret != "" {
				return key, Secret(secret), nil
			}
		}
	}
	// YAML wants a blank after the colon, lk-jwt-service does not.
	key, secret, ok := strings.Cut(strings.TrimSpace(string(data)), ":")
	if ok && key != "" && secret != "" && !strings.ContainsAny(key+secret, ":\r\n\"'{}[]#") {
		return key, Secret(secret), nil
	}
	return "", "", &fileError{"sfu.keys_file", fmt.Errorf(`%s: want one line "key: secret"`, path)}
}
