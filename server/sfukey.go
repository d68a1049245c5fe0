package server

import (
	"fmt"

	"github.com/matrixrtc-go/matrixrtc/internal/keyfile"
	"github.com/matrixrtc-go/matrixrtc/server/sfu"
)

// KeptKeyFile is the file in which the site keeps the key of the embedded SFU if
// the configuration brings none: beside the store of delegated leaves, since what
// outlives the site is of no use to calls whose tokens do not. "": the key is given,
// or there is no such file and it is made anew for each run.
func (c *Config) KeptKeyFile() string {
	switch {
	case c.SFU.URL != "", c.SFU.Key != "", c.SFU.KeyFile != "", c.SFU.KeysFile != "", c.blockHasKeys():
		return ""
	case c.Auth.Store == "", c.Auth.Store == AuthMemory:
		return ""
	}
	return c.Auth.Store + ".sfu-key"
}

// keptKey reads the key from a file, or makes one there, readable by its owner alone.
func keptKey(path string) (key string, secret Secret, err error) {
	err = keyfile.Ensure(path, func() string {
		key, secret := sfu.NewKey()
		return fmt.Sprintf("%s: %q\n", key, secret)
	})
	if err == nil {
		key, secret, err = readKeysFile(path)
	}
	if err != nil {
		return "", "", fmt.Errorf("the key of the SFU: %w (see to the folder and its permissions, or set sfu.keys_file)", err)
	}
	return key, secret, nil
}
