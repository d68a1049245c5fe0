package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
	"github.com/matrixrtc-go/matrixrtc/server"
	"github.com/matrixrtc-go/matrixrtc/server/clean"
)

// sfuFlags choose the SFU that is asked who is there. The variables that the site
// has, too, are read here and are not tags: the site must see them.
type sfuFlags struct {
	Site    string   `placeholder:"URL" from:"MATRIXRTC_SITE" group:"sfu" help:"The site that runs the SFU, by its admin listener, like http://127.0.0.1:8090. Its token is taken from $MATRIXRTC_ADMIN_TOKEN or $MATRIXRTC_ADMIN_TOKEN_FILE."`
	SFU     string   `name:"sfu" placeholder:"URL" group:"sfu" help:"A LiveKit whose key is known, in place of a site ($LIVEKIT_URL). The key is taken from $LIVEKIT_KEY and $LIVEKIT_SECRET, or from files as for serve."`
	Service []string `placeholder:"URL" sep:"none" group:"sfu" help:"With --sfu: the authorization service that leads to it; without it, those that the homeserver offers. Can be repeated."`
}

// source is the SFU that was chosen, nil if none was.
func (f *sfuFlags) source(ctx context.Context, a *app, hs *homeserver.Client) (clean.Source, error) {
	sfu := f.SFU
	if sfu == "" {
		sfu = a.env.get("LIVEKIT_URL")
	}
	switch {
	case f.Site != "" && f.SFU != "":
		return nil, &usageError{errors.New("--site and --sfu both say whom to ask: give one of them")}
	case f.Site != "":
		if u, err := url.Parse(f.Site); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, &usageError{fmt.Errorf("--site %q: want the URL of an admin listener, like http://127.0.0.1:8090", f.Site)}
		}
		token, err := a.secret("MATRIXRTC_ADMIN_TOKEN", "MATRIXRTC_ADMIN_TOKEN_FILE", "admin token")
		return &clean.Site{URL: f.Site, Token: token}, err
	case sfu == "":
		return nil, nil
	}
	if u, err := url.Parse(sfu); err != nil || u.Host == "" {
		return nil, &usageError{fmt.Errorf("--sfu %q: want the URL of a LiveKit, like wss://sfu.example.org", sfu)}
	}
	key, secret, err := a.sfuKey()
	if errors.Is(err, errNoKey) && f.SFU == "" {
		return nil, nil // the variable is for another program
	}
	if err != nil {
		return nil, err
	}
	services := f.Service
	if len(services) == 0 {
		if services, err = offeredServices(ctx, hs); err != nil {
			return nil, fmt.Errorf("which memberships lead to the SFU? --service says it: %w", err)
		}
	}
	return server.Look(sfu, key, server.Secret(secret), services), nil
}

// offeredServices are the addresses of the LiveKit transports that the account's
// homeserver offers.
func offeredServices(ctx context.Context, hs *homeserver.Client) ([]string, error) {
	offered, err := hs.Transports(ctx)
	if err != nil {
		return nil, err
	}
	var list []string
	for _, t := range offered {
		lk, err := matrixrtc.As[matrixrtc.LiveKit](t)
		if err != nil {
			continue // another kind
		}
		for _, address := range []string{lk.ServiceURL, lk.URL} {
			if address != "" {
				list = append(list, address)
			}
		}
	}
	return list, nil
}

// sfuKey is the key of a LiveKit, in the variables that serve knows.
func (a *app) sfuKey() (key, secret string, err error) {
	if file := a.env.get("LIVEKIT_KEY_FILE"); file != "" {
		both, err := readSecret(file, "SFU key")
		if err != nil {
			return "", "", err
		}
		key, secret, ok := strings.Cut(both, ":")
		if key, secret = strings.TrimSpace(key), strings.TrimSpace(secret); !ok || key == "" || secret == "" {
			return "", "", &usageError{fmt.Errorf("%s holds no line like \"key: secret\"", file)}
		}
		return key, secret, nil
	}
	if key, err = a.secret("LIVEKIT_KEY", "LIVEKIT_KEY_FROM_FILE", "SFU key"); err != nil {
		return "", "", err
	}
	if secret, err = a.secret("LIVEKIT_SECRET", "LIVEKIT_SECRET_FROM_FILE", "SFU secret"); err != nil {
		return "", "", err
	}
	if key == "" || secret == "" {
		return "", "", &usageError{errNoKey}
	}
	return key, secret, nil
}

var errNoKey = errors.New("the SFU's key is missing: set LIVEKIT_KEY and LIVEKIT_SECRET, or LIVEKIT_KEY_FILE")

// secret is a variable, or what is in the file that another one names.
func (a *app) secret(name, file, what string) (string, error) {
	if v := a.env.get(name); v != "" {
		return v, nil
	}
	if path := a.env.get(file); path != "" {
		return readSecret(path, what)
	}
	return "", nil
}
