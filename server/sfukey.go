package server

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

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
	if _, err = os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		err = makeKeysFile(path)
	}
	if err == nil {
		key, secret, err = readKeysFile(path) // what is there may be another process's
	}
	if err != nil {
		return "", "", fmt.Errorf("the key of the SFU: %w (see to the folder and its permissions, or set sfu.keys_file)", err)
	}
	return key, secret, nil
}

// makeKeysFile makes a file with a new key, whole, unless there is one.
func makeKeysFile(path string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".sfu-key-*") // which its owner alone reads
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	key, secret := sfu.NewKey()
	_, err = fmt.Fprintf(f, "%s: %q\n", key, secret)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = os.Link(f.Name(), path); errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}
