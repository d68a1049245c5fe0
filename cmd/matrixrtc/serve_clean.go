package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/matrixrtc-go/matrixrtc/homeserver"
	"github.com/matrixrtc-go/matrixrtc/server"
	"github.com/matrixrtc-go/matrixrtc/server/clean"
)

// cleanAgain is how long serve waits before it tries again to end members.
const cleanAgain = 30 * time.Second

// clean ends members that are dead in truth until ctx ends, if the site is
// configured to. The site does not depend on it: what goes wrong is logged and
// tried again.
func (a *app) clean(ctx context.Context, cfg *server.Config, from clean.Source) {
	if !cfg.Clean.Enabled || from == nil {
		return
	}
	for {
		err := a.cleanOnce(ctx, cfg, from)
		if ctx.Err() != nil {
			return
		}
		a.log.Warn("end members that are dead", "err", err, "again_in", cleanAgain)
		select {
		case <-ctx.Done():
			return
		case <-time.After(cleanAgain):
		}
	}
}

func (a *app) cleanOnce(ctx context.Context, cfg *server.Config, from clean.Source) error {
	hs, err := a.cleaner(ctx, cfg)
	if err != nil {
		return err
	}
	c, err := clean.New(clean.Config(cfg.Clean), hs, from, &clean.Options{Logger: a.log})
	if err != nil {
		return err
	}
	return c.Run(ctx)
}

// cleaner is the account that acts.
func (a *app) cleaner(ctx context.Context, cfg *server.Config) (*homeserver.Client, error) {
	if path := cfg.Clean.CredentialsFile; path != "" {
		store := homeserver.NewStore(path)
		creds, err := store.Load()
		if err != nil {
			return nil, fmt.Errorf("clean.credentials_file: %w", err)
		}
		return homeserver.Open(creds, &homeserver.Options{Logger: a.log, Save: store.Save})
	}
	token, err := readSecret(cfg.Clean.TokenFile, "token of clean.token_file")
	if err != nil {
		return nil, err
	}
	if cfg.Homeserver.URL == "" {
		return nil, errors.New("clean.token_file: whose token is it? Give homeserver.url")
	}
	return homeserver.WithToken(ctx, cfg.Homeserver.URL, token, &homeserver.Options{Logger: a.log})
}
