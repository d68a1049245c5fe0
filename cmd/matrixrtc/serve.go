package main

import "errors"

// ServeCmd runs the site.
type ServeCmd struct{}

// Run runs the site.
func (*ServeCmd) Run() error { return errors.New("serve is not built yet") }
