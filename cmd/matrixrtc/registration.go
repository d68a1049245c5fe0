package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/matrixrtc-go/matrixrtc/server"
	"github.com/matrixrtc-go/matrixrtc/server/auth"
)

// GenerateRegistrationCmd makes the file by which a homeserver knows the site.
type GenerateRegistrationCmd struct {
	ServerName   string `name:"server-name" placeholder:"NAME" help:"The homeserver, like example.org; without it, that of the configuration."`
	ID           string `name:"id" default:"matrixrtc" placeholder:"ID" help:"The name of the application service, which no other one may have."`
	ProxyURL     string `name:"proxy-url" placeholder:"URL" help:"Where the homeserver reaches the site, to pass on requests of clients (MSC4512)."`
	EventsURL    string `name:"events-url" placeholder:"URL" help:"Where the homeserver reaches the site, to tell at once who has left a room."`
	Registration string `short:"r" placeholder:"FILE" type:"path" help:"The file to make, which only its owner can read; without it, stdout."`
	Overwrite    bool   `help:"Make the file also if it is there, with new tokens."`
	siteConfig
}

// Help is shown by --help.
func (*GenerateRegistrationCmd) Help() string {
	return `As an application service of the homeserver the site can ask who is in a room, and hears who leaves: who is out of the room is then out of the call. The file goes to the homeserver (Synapse: app_service_config_files, Dendrite: app_service_api.config_files), and to the site as app_service.registration_file; docs/hosting.md tells more.

It holds two new tokens, or those that the configuration has as app_service.as_token and hs_token. Whoever has them can act for every user of the homeserver.

Examples:

	matrixrtc generate-registration --server-name example.org -r registration.yaml
	matrixrtc generate-registration --config site.yaml -r registration.yaml
	matrixrtc generate-registration -c site.yaml --events-url http://127.0.0.1:8080 -r registration.yaml`
}

// Run makes it.
func (c *GenerateRegistrationCmd) Run(_ context.Context, a *app) error {
	r, err := c.configured(a)
	if err != nil {
		return err
	}
	for _, token := range []*auth.Secret{&r.ASToken, &r.HSToken} {
		if *token == "" {
			*token = auth.Secret(rand.Text() + rand.Text())
		}
	}
	text, err := r.YAML()
	if err != nil {
		return &usageError{err}
	}
	if c.Registration == "" {
		_, err := a.out.Write(text)
		return err
	}
	if err := c.write(text); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, `The registration is in %s, which only its owner can read.

1. The homeserver has to be able to read it, and to be started again:
     Synapse   app_service_config_files: [%[1]q]
     Dendrite  app_service_api: {config_files: [%[1]q]}
2. The site, too:
     app_service: {registration_file: %[1]q}
`, c.Registration)
	return err
}

// configured is what the flags and the site's configuration say.
func (c *GenerateRegistrationCmd) configured(a *app) (*auth.Registration, error) {
	r := &auth.Registration{ID: c.ID, ServerName: c.ServerName, ProxyURL: c.ProxyURL, EventsURL: c.EventsURL}
	var has server.AppService
	cfg, _, err := c.load(a, func(cfg *server.Config) {
		// What is to be made now may be missing.
		has, cfg.AppService, cfg.Policy.CheckMembership = cfg.AppService, server.AppService{}, false
		if cfg.Homeserver.ServerName == "" && len(cfg.FullAccess) == 0 {
			cfg.FullAccess = server.Names{auth.AnyServer}
		}
	})
	if err != nil {
		return nil, err
	}
	for _, name := range []string{has.ServerName, cfg.Homeserver.ServerName} {
		if r.ServerName == "" {
			r.ServerName = name
		}
	}
	if r.ServerName == "" {
		return nil, &usageError{errors.New("whose application service is it? Give --server-name, or a configuration that names the homeserver")}
	}
	for _, t := range []struct {
		to         *auth.Secret
		text       server.Secret
		file, what string
	}{
		{&r.ASToken, has.ASToken, has.ASTokenFile, "token of app_service.as_token_file"},
		{&r.HSToken, has.HSToken, has.HSTokenFile, "token of app_service.hs_token_file"},
	} {
		*t.to = auth.Secret(t.text)
		if t.text == "" && t.file != "" {
			text, err := readSecret(t.file, t.what)
			if err != nil {
				return nil, err
			}
			*t.to = auth.Secret(text)
		}
	}
	return r, nil
}

// write makes the file. Tokens that a homeserver knows already are not lost by
// mistake.
func (c *GenerateRegistrationCmd) write(text []byte) error {
	put := func(w io.Writer) error { _, err := w.Write(text); return err }
	if c.Overwrite {
		return writeFile(c.Registration, put)
	}
	f, err := os.OpenFile(c.Registration, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return &usageError{fmt.Errorf("%s is there already, and a homeserver may know its tokens; choose another name, or give --overwrite", c.Registration)}
	}
	if err != nil {
		return &usageError{fmt.Errorf("make the registration: %w", err)}
	}
	if err := errors.Join(put(f), f.Close()); err != nil {
		_ = os.Remove(c.Registration) // what went wrong is told
		return fmt.Errorf("make the registration: %w", err)
	}
	return nil
}
