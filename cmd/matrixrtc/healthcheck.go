package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/matrixrtc-go/matrixrtc/server"
)

// healthPath is where a site says how it is.
const healthPath = "/healthz"

// HealthcheckCmd asks a running site whether it is well.
type HealthcheckCmd struct {
	URL     string        `arg:"" optional:"" placeholder:"URL" help:"The site, like http://127.0.0.1:8080; without it the public listener of the configuration."`
	Timeout time.Duration `default:"3s" placeholder:"DURATION" help:"How long it may take to answer."`
	siteConfig
}

// Help is shown by --help.
func (*HealthcheckCmd) Help() string {
	return `Exits with 0 if the site answers and is well, and says why not otherwise: for containers, which have nothing else to ask with. It reads the same configuration as serve to find the listener, on this machine.

Examples:

	matrixrtc healthcheck
	matrixrtc healthcheck --config site.yaml
	matrixrtc healthcheck https://rtc.example.org`
}

// Run asks once.
func (c *HealthcheckCmd) Run(ctx context.Context, a *app) error {
	base := strings.TrimRight(c.URL, "/")
	if base == "" {
		cfg, _, err := c.load(a, nil)
		if err != nil {
			return err
		}
		if base, err = onThisMachine(cfg.Listen); err != nil {
			return &usageError{err}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+healthPath, nil)
	if err != nil {
		return &usageError{fmt.Errorf("%q is no address of a site: %w", base, err)}
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // no proxy: it is this machine's
	resp, err := client.Do(req)
	if err != nil {
		return &unreachable{fmt.Errorf("the site does not answer: %w", err)}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the site is not well: it answers %s at %s", resp.Status, base+healthPath)
	}
	_, err = fmt.Fprintln(a.out, "well")
	return err
}

// unreachable is an error with the exit code for it.
type unreachable struct{ error }

func (e *unreachable) Unwrap() error { return e.error }
func (*unreachable) ExitCode() int   { return exitUnreachable }

// onThisMachine is the URL of a listener, asked from the machine that it is on.
func onThisMachine(listen string) (string, error) {
	if listen == "" {
		listen = server.DefaultListen
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", fmt.Errorf("the listener %q: %w", listen, err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip != nil && ip.To4() == nil {
			host = "::1"
		}
	}
	return "http://" + net.JoinHostPort(host, port), nil
}
