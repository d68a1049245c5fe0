package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/matrixrtc-go/matrixrtc/homeserver"
)

// accountFlags choose the account of a command that talks to a homeserver.
type accountFlags struct {
	Account    string `placeholder:"NAME" from:"MATRIXRTC_ACCOUNT" group:"as" help:"Which stored login to use, if there are several."`
	Homeserver string `placeholder:"URL" from:"MATRIXRTC_HOMESERVER" group:"as" help:"With a token: the homeserver's URL or server name."`
	tokenFlags
}

// tokenFlags are the ways to give an access token.
type tokenFlags struct {
	Token     string `placeholder:"TOKEN" from:"MATRIXRTC_TOKEN" group:"as" help:"An access token. Others on this machine can see arguments: prefer the variable or a file."`
	TokenFile string `name:"token-file" placeholder:"FILE" type:"path" from:"MATRIXRTC_TOKEN_FILE" group:"as" help:"A file with an access token."`
}

// value reads the token; "" if none is given.
func (f *tokenFlags) value() (string, error) {
	if f.Token != "" {
		return strings.TrimSpace(f.Token), nil
	}
	if f.TokenFile == "" {
		return "", nil
	}
	return readSecret(f.TokenFile, "token")
}

// open returns a client for the chosen account: the one that --account names,
// else the one of the token that is given, else the only one that is stored.
func (f *accountFlags) open(ctx context.Context, a *app) (*homeserver.Client, error) {
	dir, err := a.accountDir()
	if err != nil {
		return nil, err
	}
	if f.Account == "" {
		token, err := f.value()
		if err != nil {
			return nil, err
		}
		if token != "" {
			base, err := a.baseURL(ctx, f.Homeserver, "")
			if err != nil {
				return nil, err
			}
			return homeserver.WithToken(ctx, base, token, &homeserver.Options{Logger: a.log})
		}
	}
	name, err := dir.choose(f.Account)
	if err != nil {
		return nil, err
	}
	store := dir.store(name)
	creds, err := store.Load()
	if err != nil {
		return nil, err
	}
	return homeserver.Open(creds, &homeserver.Options{Logger: a.log, Save: store.Save})
}

// baseURL is the base URL of a homeserver that is named by URL, by server name,
// or by a user id of it.
func (a *app) baseURL(ctx context.Context, name, user string) (string, error) {
	if name == "" && strings.HasPrefix(user, "@") && strings.Contains(user, ":") {
		name = user
	}
	if name == "" {
		return "", &usageError{errors.New("which homeserver? Give --homeserver with its URL or server name, or a full user id like @alice:example.org")}
	}
	if scheme, _, ok := strings.Cut(name, "://"); ok && scheme != "http" && scheme != "https" {
		return "", &usageError{fmt.Errorf("--homeserver %q: want http://host[:port], https://host[:port], or a server name", name)}
	}
	return homeserver.Discover(ctx, name, &homeserver.Options{Logger: a.log})
}

// accountDir is the directory with one file per login.
type accountDir string

func (a *app) accountDir() (accountDir, error) {
	if dir := a.env.get("MATRIXRTC_CONFIG_DIR"); dir != "" {
		return accountDir(filepath.Join(dir, "accounts")), nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("where to keep logins: %w; set MATRIXRTC_CONFIG_DIR", err)
	}
	return accountDir(filepath.Join(dir, "matrixrtc", "accounts")), nil
}

const accountSuffix = ".json"

// store is the file of an account. Names are escaped, so that any user id is a
// file name on any system and none leaves the directory.
func (d accountDir) store(name string) *homeserver.Store {
	escaped := strings.ReplaceAll(url.QueryEscape(name), ".", "%2E")
	return homeserver.NewStore(filepath.Join(string(d), escaped+accountSuffix))
}

// list names the accounts, sorted.
func (d accountDir) list() ([]string, error) {
	files, err := os.ReadDir(string(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the logins: %w", err)
	}
	var names []string
	for _, f := range files {
		base, ok := strings.CutSuffix(f.Name(), accountSuffix)
		if name, err := url.QueryUnescape(base); ok && err == nil && !f.IsDir() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// choose finds the account that is meant: by its name, or the only one.
func (d accountDir) choose(name string) (string, error) {
	names, err := d.list()
	if err != nil {
		return "", err
	}
	hint := "log in with: matrixrtc login --user @you:example.org"
	switch {
	case name != "" && slices.Contains(names, name):
		return name, nil
	case name == "" && len(names) == 1:
		return names[0], nil
	case len(names) == 0:
		return "", fmt.Errorf("%w; %s", homeserver.ErrNoCredentials, hint)
	case name != "":
		return "", &usageError{fmt.Errorf("there is no login %q; there are: %s", name, strings.Join(names, ", "))}
	}
	return "", &usageError{fmt.Errorf("several logins are stored, choose one with --account: %s", strings.Join(names, ", "))}
}

// maxSecret bounds a password or token.
const maxSecret = 64 << 10

// readSecret reads a password or token from a file, without what surrounds it.
func readSecret(path, what string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", &usageError{fmt.Errorf("read the %s: %w", what, err)}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSecret))
	if err != nil {
		return "", &usageError{fmt.Errorf("read the %s: %w", what, err)}
	}
	secret := strings.TrimSpace(string(data))
	if secret == "" {
		return "", &usageError{fmt.Errorf("read the %s: %s is empty", what, path)}
	}
	return secret, nil
}
