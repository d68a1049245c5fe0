package main

import (
	"net/url"
	"path/filepath"
	"strings"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/client"
)

// stateFlags say where a command keeps what it knows of the rooms.
type stateFlags struct {
	StateDir string `name:"state-dir" placeholder:"DIR" type:"path" from:"MATRIXRTC_STATE_DIR" help:"Where to keep what is known of the rooms, for the next start: one file per login, which tells who was where. Without it nothing is kept."`
}

// store is the file of a login, nil if nothing is to be kept.
func (f *stateFlags) store(user matrixrtc.UserID, device matrixrtc.DeviceID) client.Store {
	if f.StateDir == "" {
		return nil
	}
	// Escaped as account names are: any login is a file name on any system.
	name := strings.ReplaceAll(url.QueryEscape(string(user)+" "+string(device)), ".", "%2E")
	return client.NewFileStore(filepath.Join(f.StateDir, name+".json"))
}
