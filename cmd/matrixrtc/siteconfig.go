package main

import (
	"os"

	"github.com/matrixrtc-go/matrixrtc/server"
)

// usualConfig is where a site's configuration is if nobody says where.
const usualConfig = "/etc/matrixrtc/site.yaml"

// siteConfig is the flag of the commands that read a site's configuration.
type siteConfig struct {
	Config string `short:"c" placeholder:"FILE" type:"path" from:"MATRIXRTC_CONFIG" help:"The configuration of the site, in YAML; /etc/matrixrtc/site.yaml if that is there and the variable is not set."`
}

// load reads it, with the environment and what change does on top.
func (c *siteConfig) load(a *app, change func(*server.Config)) (*server.Config, []string, error) {
	if c.Config == "" {
		c.Config = a.env.usualFile("MATRIXRTC_CONFIG", usualConfig)
	}
	return server.Load(c.Config, a.siteEnvironment(), change)
}

// usualFile is a file that is read if it is there. Whoever wants none sets the
// variable that names another to nothing.
func (e environ) usualFile(variable, path string) string {
	if e.has(variable) {
		return ""
	}
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}
