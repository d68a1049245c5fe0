package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/matrixrtc-go/matrixrtc/homeserver"
)

// LogoutCmd ends a stored login.
type LogoutCmd struct {
	Account string `placeholder:"NAME" from:"MATRIXRTC_ACCOUNT" help:"Which stored login to end, if there are several."`
	Force   bool   `help:"Forget the login even if the homeserver cannot be told: its device stays in the user's list."`
}

// Help is shown by --help.
func (*LogoutCmd) Help() string {
	return `The homeserver forgets the device and its tokens, then the stored login is removed. If the homeserver cannot be reached the login stays, so that it can be ended later.

Examples:

	matrixrtc logout
	matrixrtc logout --account @bot:example.org`
}

// Run logs out.
func (c *LogoutCmd) Run(ctx context.Context, a *app) error {
	dir, err := a.accountDir()
	if err != nil {
		return err
	}
	name, err := dir.choose(c.Account)
	if err != nil {
		return err
	}
	store := dir.store(name)
	if err := c.end(ctx, a, store); err != nil && !c.Force {
		return fmt.Errorf("the login of %s is still stored: %w (--force removes it all the same)", name, err)
	} else if err != nil {
		fmt.Fprintln(a.err, "matrixrtc: the homeserver was not told:", plain(err))
	}
	if err := store.Remove(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "Logged out %s.\n", name)
	return err
}

func (c *LogoutCmd) end(ctx context.Context, a *app, store *homeserver.Store) error {
	creds, err := store.Load()
	if err != nil {
		return err
	}
	hs, err := homeserver.Open(creds, &homeserver.Options{Logger: a.log, Save: store.Save})
	if err != nil {
		return err
	}
	defer hs.Close()
	if err := hs.Logout(ctx); err != nil && !errors.Is(err, homeserver.ErrUnauthorized) {
		return err
	}
	return nil
}
