package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
	"golang.org/x/term"
)

// LoginCmd logs in and stores the device.
type LoginCmd struct {
	User         string `short:"u" placeholder:"USER" from:"MATRIXRTC_USER" help:"The user id, like @alice:example.org, or its first part together with --homeserver."`
	Homeserver   string `placeholder:"URL" from:"MATRIXRTC_HOMESERVER" help:"The homeserver's URL or server name; without it, that of the user id."`
	PasswordFile string `name:"password-file" placeholder:"FILE" type:"path" from:"MATRIXRTC_PASSWORD_FILE" help:"A file with the password."`
	Account      string `placeholder:"NAME" from:"MATRIXRTC_ACCOUNT" help:"The name under which the login is stored; without it, the user id."`
	tokenFlags
}

// Help is shown by --help.
func (*LoginCmd) Help() string {
	return `The login is stored in a file that only you can read, and the commands that follow use its device. Log in once: a second login of the same account uses the same device again.

The password comes from --password-file, from $MATRIXRTC_PASSWORD, or is asked for. There is no flag for it, because others can see the arguments of a program.

Examples:

	matrixrtc login --user @alice:example.org
	matrixrtc login --user alice --homeserver http://localhost:8008
	matrixrtc login --user @bot:example.org --password-file /run/secrets/bot
	matrixrtc login --homeserver https://matrix.example.org --token-file token`
}

// Run logs in.
func (c *LoginCmd) Run(ctx context.Context, a *app) error {
	dir, err := a.accountDir()
	if err != nil {
		return err
	}
	token, err := c.value()
	if err != nil {
		return err
	}
	if token == "" && c.User == "" {
		return &usageError{errors.New("who logs in? Give --user, or a token with --token-file")}
	}
	base, err := a.baseURL(ctx, c.Homeserver, c.User)
	if err != nil {
		return err
	}
	opts := &homeserver.Options{Logger: a.log, Save: func(creds homeserver.Credentials) error {
		if token != "" && !c.means(creds.UserID) {
			return &usageError{fmt.Errorf("the token is that of %s, and --user names %s: nothing is stored; give one of them", creds.UserID, c.User)}
		}
		return dir.store(c.name(creds)).Save(creds)
	}}
	var hs *homeserver.Client
	if token != "" {
		hs, err = homeserver.WithToken(ctx, base, token, opts)
	} else {
		hs, err = c.withPassword(ctx, a, dir, base, opts)
	}
	if err != nil {
		return err
	}
	defer hs.Close()
	creds := hs.Credentials()
	_, err = fmt.Fprintf(a.out, "Logged in as %s, device %s, at %s.\nThe login is stored in %s.\n",
		creds.UserID, creds.DeviceID, creds.Homeserver, dir.store(c.name(creds)).Path())
	return err
}

// means says whether a user is the one that --user names, if it names one.
func (c *LoginCmd) means(id matrixrtc.UserID) bool {
	local, _, _ := strings.Cut(strings.TrimPrefix(string(id), "@"), ":")
	return c.User == "" || c.User == string(id) || c.User == local
}

func (c *LoginCmd) name(creds homeserver.Credentials) string {
	if c.Account != "" {
		return c.Account
	}
	return string(creds.UserID)
}

func (c *LoginCmd) withPassword(ctx context.Context, a *app, dir accountDir, base string, opts *homeserver.Options) (*homeserver.Client, error) {
	password, err := c.password(ctx, a)
	if err != nil {
		return nil, err
	}
	return homeserver.Login(ctx, base, homeserver.Password{User: c.User, Password: password, Device: c.device(dir, base)}, opts)
}

// device is the device of an earlier login of the same user, "" if there is
// none: devices that nobody uses any more would pile up in the user's list.
func (c *LoginCmd) device(dir accountDir, base string) matrixrtc.DeviceID {
	names := []string{c.Account}
	if c.Account == "" {
		names, _ = dir.list()
	}
	for _, name := range names {
		creds, err := dir.store(name).Load()
		if err != nil {
			continue
		}
		if string(creds.UserID) == c.User || c.means(creds.UserID) && creds.Homeserver == base {
			return creds.DeviceID
		}
	}
	return ""
}

// password is the password: from its file, from the environment, or asked for
// without echo.
func (c *LoginCmd) password(ctx context.Context, a *app) (string, error) {
	if c.PasswordFile != "" {
		return readSecret(c.PasswordFile, "password")
	}
	if p := a.env.get("MATRIXRTC_PASSWORD"); p != "" {
		return p, nil
	}
	in, ok := a.in.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return "", &usageError{errors.New("no password: give --password-file or MATRIXRTC_PASSWORD, or run this on a terminal to be asked for it")}
	}
	fd := int(in.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("ask for the password: %w", err)
	}
	fmt.Fprintf(a.err, "Password of %s: ", c.User)
	defer fmt.Fprintln(a.err)
	type answer struct {
		password []byte
		err      error
	}
	answers := make(chan answer, 1)
	// A read from a terminal cannot be interrupted: after Ctrl-C this goroutine
	// stays behind until the process ends, right after.
	go func() {
		p, err := term.ReadPassword(fd)
		answers <- answer{p, err}
	}()
	select {
	case <-ctx.Done():
		_ = term.Restore(fd, before)
		return "", ctx.Err()
	case got := <-answers:
		if got.err != nil {
			return "", fmt.Errorf("ask for the password: %w", got.err)
		}
		return string(got.password), nil
	}
}
