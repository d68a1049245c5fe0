package main

import "errors"

// DemoCmd shows a real call between real participants on this machine.
type DemoCmd struct{}

// Run runs the demo.
func (*DemoCmd) Run() error { return errors.New("the demo is not built yet") }
