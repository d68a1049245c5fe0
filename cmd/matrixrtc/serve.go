package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/matrixrtc-go/matrixrtc/internal/devstack"
	"github.com/matrixrtc-go/matrixrtc/server"
	"github.com/matrixrtc-go/matrixrtc/server/web"
)

// ServeCmd runs the site.
type ServeCmd struct {
	siteConfig
	AuthOnly     bool     `name:"auth-only" help:"Run the authorization service alone, in front of a LiveKit that runs elsewhere."`
	Check        bool     `help:"Say whether the configuration is right, and do not run."`
	Listen       string   `placeholder:"ADDRESS" help:"Where the public listener listens, like 127.0.0.1:8080."`
	PublicURL    string   `name:"public-url" placeholder:"URL" help:"The address at which clients reach it, like https://rtc.example.org."`
	AdminListen  string   `name:"admin-listen" placeholder:"ADDRESS" help:"Where the status page is, like 127.0.0.1:8090; off for none."`
	ServerName   string   `name:"server-name" placeholder:"NAME" help:"The homeserver whose users may open calls here, like example.org."`
	MediaAddress string   `name:"media-address" placeholder:"IP" help:"The IP address at which clients reach the media ports."`
	Watch        []string `placeholder:"ROOM" sep:"none" help:"A room to show on the status page, with a login as for watch. Can be repeated."`
	accountFlags
}

// Help is shown by --help.
func (*ServeCmd) Help() string {
	return `One process is the whole site: the authorization service, the embedded SFU (or an external one), transport discovery and the status page. A reverse proxy with TLS belongs in front of the public listener; docs/cli.md describes the configuration.

What a flag says wins over the environment, and that over the file. The LIVEKIT_* variables of lk-jwt-service are understood; LIVEKIT_URL means an external SFU, and with --auth-only this takes the place of lk-jwt-service.

Examples:

	matrixrtc serve --config site.yaml --check
	matrixrtc serve --config site.yaml
	matrixrtc serve --server-name example.org --public-url https://rtc.example.org
	matrixrtc serve --config site.yaml --watch '#daily:example.org'
	LIVEKIT_URL=wss://livekit.example.org LIVEKIT_KEY_FILE=keys.yaml LIVEKIT_FULL_ACCESS_HOMESERVERS=example.org matrixrtc serve --auth-only`
}

// Run runs the site until Ctrl-C.
func (c *ServeCmd) Run(ctx context.Context, a *app) error {
	cfg, warnings, err := c.load(a, func(cfg *server.Config) { c.apply(a, cfg) })
	for _, w := range warnings {
		fmt.Fprintln(a.err, "matrixrtc: warning:", w)
	}
	if err != nil {
		return err
	}
	a.level.Set(cfg.Level())
	if err := c.checkWatch(a); err != nil {
		return err
	}
	if cfg.AuthOnly {
		return c.authOnly(ctx, a, cfg)
	}
	board := web.NewBoard(&web.Options{Site: cfg.Homeserver.ServerName, MaxPast: cfg.Admin.History, Zone: a.zone(), Logger: a.log})
	site, err := server.New(cfg, &server.Options{Logger: a.log, Admin: board.Handler(), Watched: len(c.Watch) > 0})
	if err != nil {
		return &usageError{err}
	}
	if c.Check {
		return c.isRight(a)
	}
	return c.serve(ctx, a, cfg, site, board)
}

func (c *ServeCmd) isRight(a *app) error {
	from := "the environment and flags, without a file"
	if c.Config != "" {
		from = c.Config
	}
	_, err := fmt.Fprintf(a.out, "The configuration is right: %s.\n", from)
	return err
}

// authOnly runs the site without pages: there is nothing to see but metrics.
func (c *ServeCmd) authOnly(ctx context.Context, a *app, cfg *server.Config) error {
	if len(c.Watch) > 0 {
		return &usageError{errors.New("--watch shows rooms on the status page, and --auth-only has none: leave one of them out")}
	}
	site, err := server.New(cfg, &server.Options{Logger: a.log, Admin: http.NotFoundHandler()})
	if err != nil {
		return &usageError{err}
	}
	if c.Check {
		return c.isRight(a)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	served := make(chan error, 1)
	go func() { served <- site.Serve(ctx) }()
	select {
	case err := <-served:
		return err
	case <-site.Ready():
	}
	_, err = fmt.Fprintf(a.out, "The authorization service is up.\n  listens on   %s\n  SFU          %s\n", site.PublicAddr(), site.Advertised())
	if addr := site.AdminAddr(); addr != nil && err == nil {
		_, err = fmt.Fprintf(a.out, "  metrics      http://%s/metrics\n", addr)
	}
	if err != nil {
		stop()
	}
	return errors.Join(err, <-served)
}

func (c *ServeCmd) serve(ctx context.Context, a *app, cfg *server.Config, site *server.Server, board *web.Board) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	served := make(chan error, 1)
	serving, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	go func() { served <- site.Serve(serving) }()
	// The open pages are told before the listener goes, or they would keep it.
	defer context.AfterFunc(ctx, func() {
		_ = board.Close() // never fails
		end()
	})()
	select {
	case err := <-served:
		return err
	case <-site.Ready():
	}
	if _, err := fmt.Fprint(a.out, describe(cfg, site)); err != nil {
		stop()
		<-served
		return err
	}
	var beside sync.WaitGroup
	beside.Go(func() { c.watch(ctx, a, board, site) })
	beside.Go(func() { a.clean(ctx, cfg, site.Source()) })
	err := <-served
	stop()
	beside.Wait()
	return err
}

// apply puts the flags on top of the configuration.
func (c *ServeCmd) apply(a *app, cfg *server.Config) {
	cfg.AuthOnly = cfg.AuthOnly || c.AuthOnly
	for _, f := range []struct {
		flag string
		to   *string
	}{
		{c.Listen, &cfg.Listen},
		{c.PublicURL, &cfg.PublicURL},
		{c.AdminListen, &cfg.Admin.Listen},
		{c.ServerName, &cfg.Homeserver.ServerName},
		{c.MediaAddress, &cfg.Media.Address},
		{a.logLevel, &cfg.LogLevel},
	} {
		if f.flag != "" {
			*f.to = f.flag
		}
	}
}

// siteEnvironment is the environment without the variables of the command
// line itself: the site warns of those that it does not know.
func (a *app) siteEnvironment() []string {
	ours := map[string]bool{"MATRIXRTC_CONFIG_DIR": true, "MATRIXRTC_PASSWORD": true, devstack.DendriteEnv: true, devstack.ChromiumEnv: true, devstack.RedisEnv: true}
	for _, node := range append(a.kong.Model.Children, a.kong.Model.Node) {
		for _, flag := range node.Flags {
			ours[flag.Tag.Get("from")] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(a.env), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return ours[name]
	})
}

// describe says what a running site is, and what is left to do.
func describe(cfg *server.Config, site *server.Server) string {
	var b strings.Builder
	fmt.Fprintf(&b, "The site is up at %s.\n", site.URL())
	fmt.Fprintf(&b, "  listens on   %s\n", site.PublicAddr())
	fmt.Fprintf(&b, "  media        %s\n", site.Advertised())
	if addr := site.AdminAddr(); addr != nil {
		fmt.Fprintf(&b, "  status page  http://%s/\n", addr)
	}
	fmt.Fprintf(&b, "  SFU key      %s\n", keyOrigin(cfg))
	if g := &cfg.GapFill; g.Mode == server.GapFillOn || g.Mode == server.GapFillAuto {
		where := "beside the homeserver: have the reverse proxy pick the paths, see docs/hosting.md"
		if g.Proxy {
			where = "in front of the homeserver, whose address for clients is the site's"
		}
		fmt.Fprintf(&b, "  gap-fill     %s\n", where)
	}
	name := cfg.Homeserver.ServerName
	if name == "" {
		name = "<your server name>"
	}
	fmt.Fprintf(&b, "\nPut this into https://%s/.well-known/matrix/client:\n\n%s\n", name, site.DiscoveryJSON())
	return b.String()
}

// keyOrigin says where the key of the SFU is from.
func keyOrigin(cfg *server.Config) string {
	if file := cfg.KeptKeyFile(); file != "" {
		return "kept in " + file + ", because none was given"
	}
	var block struct {
		Keys map[string]string `yaml:"keys"`
	}
	if err := cfg.LiveKit.Decode(&block); err != nil {
		block.Keys = nil // no block
	}
	if cfg.SFU.Key == "" && cfg.SFU.KeyFile == "" && cfg.SFU.KeysFile == "" && len(block.Keys) == 0 {
		return "made for this run, because none was given"
	}
	return "as configured"
}
