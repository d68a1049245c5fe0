package main

import (
	"github.com/matrixrtc-go/matrixrtc/homeserver"
	"github.com/matrixrtc-go/matrixrtc/livekit"
	"github.com/matrixrtc-go/matrixrtc/media"
)

// connectors are the transports that this program can use.
func connectors(a *app, hs *homeserver.Client) []media.Connector {
	return []media.Connector{livekit.New(hs, &livekit.Options{Logger: a.log})}
}
